-- A store of schema 1, frozen. Do not edit.
CREATE TABLE public.api_key (
    prefix character varying(20) NOT NULL,
    sha256 character varying(64) NOT NULL,
    role character varying(20) NOT NULL,
    domains text,
    created double precision NOT NULL,
    expires double precision,
    revoked double precision,
    last_used double precision,
    rate double precision,
    burst integer,
    label text NOT NULL
);
CREATE TABLE public.audit (
    seq bigint NOT NULL,
    at double precision NOT NULL,
    key character varying(20) NOT NULL,
    action character varying(100) NOT NULL,
    subject text NOT NULL,
    detail text NOT NULL,
    chain character varying(64) NOT NULL
);
CREATE SEQUENCE public.audit_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.audit_seq_seq OWNED BY public.audit.seq;
CREATE TABLE public.deleted_user (
    domain integer NOT NULL,
    user_id character varying(500) NOT NULL,
    at double precision NOT NULL
);
CREATE TABLE public.domain (
    id integer NOT NULL,
    name character varying(200) NOT NULL,
    settings text,
    live_generation character varying(100),
    created double precision NOT NULL
);
CREATE SEQUENCE public.domain_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.domain_id_seq OWNED BY public.domain.id;
CREATE TABLE public.event (
    seq bigint NOT NULL,
    domain integer NOT NULL,
    event_id character varying(500) NOT NULL,
    subject integer NOT NULL,
    item integer NOT NULL,
    kind integer NOT NULL,
    happened double precision NOT NULL,
    received double precision NOT NULL,
    rating double precision,
    value double precision,
    list_id character varying(500),
    "position" integer,
    session character varying(500)
);
CREATE SEQUENCE public.event_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.event_seq_seq OWNED BY public.event.seq;
CREATE TABLE public.idempotency (
    domain integer NOT NULL,
    key character varying(500) NOT NULL,
    sha256 character varying(64) NOT NULL,
    status integer,
    answer text,
    expires double precision NOT NULL
);
CREATE TABLE public.item (
    id integer NOT NULL,
    domain integer NOT NULL,
    item_id character varying(500) NOT NULL,
    title text NOT NULL,
    fields text NOT NULL,
    text text NOT NULL,
    available boolean NOT NULL,
    created double precision NOT NULL,
    changed double precision NOT NULL,
    withdrawn double precision,
    version integer NOT NULL
);
CREATE SEQUENCE public.item_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.item_id_seq OWNED BY public.item.id;
CREATE TABLE public.list (
    domain integer NOT NULL,
    list_id character varying(500) NOT NULL,
    at double precision NOT NULL,
    subject integer,
    request text NOT NULL,
    generation character varying(100) NOT NULL,
    view integer NOT NULL,
    history_seq bigint NOT NULL,
    policy character varying(100) NOT NULL,
    items bytea NOT NULL,
    scores bytea NOT NULL,
    shown bytea NOT NULL,
    notes text NOT NULL,
    extra text NOT NULL,
    micros integer NOT NULL
);
CREATE TABLE public.meta (
    key character varying(100) NOT NULL,
    value text NOT NULL
);
CREATE TABLE public.name (
    id integer NOT NULL,
    domain integer NOT NULL,
    text character varying(500) NOT NULL
);
CREATE SEQUENCE public.name_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.name_id_seq OWNED BY public.name.id;
CREATE TABLE public.schema_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.subject (
    id integer NOT NULL,
    domain integer NOT NULL,
    user_id character varying(500) NOT NULL,
    labels text,
    created double precision NOT NULL
);
CREATE SEQUENCE public.subject_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.subject_id_seq OWNED BY public.subject.id;
ALTER TABLE ONLY public.audit ALTER COLUMN seq SET DEFAULT nextval('public.audit_seq_seq'::regclass);
ALTER TABLE ONLY public.domain ALTER COLUMN id SET DEFAULT nextval('public.domain_id_seq'::regclass);
ALTER TABLE ONLY public.event ALTER COLUMN seq SET DEFAULT nextval('public.event_seq_seq'::regclass);
ALTER TABLE ONLY public.item ALTER COLUMN id SET DEFAULT nextval('public.item_id_seq'::regclass);
ALTER TABLE ONLY public.name ALTER COLUMN id SET DEFAULT nextval('public.name_id_seq'::regclass);
ALTER TABLE ONLY public.subject ALTER COLUMN id SET DEFAULT nextval('public.subject_id_seq'::regclass);
INSERT INTO public.domain VALUES (1, 'movies', NULL, NULL, 1700000000);
INSERT INTO public.event VALUES (1, 1, 'e1', 1, 1, 2, 5.5, 6.5, 4, 2.5, 'l1', 1, 's1');
INSERT INTO public.item VALUES (1, 1, 'm1', 'Up (2009)', '{"genre":["Drama"],"year":2009}', 'Balloons.', true, 1700000000, 1700000000, NULL, 1);
INSERT INTO public.list VALUES (1, 'l1', 7.5, 1, '{"n":1}', 'g-1', 1, 1, 'greedy', '\x01000000', '\x00002040', '\x', '[]', '{}', 0);
INSERT INTO public.meta VALUES ('written', '1700000000.0');
INSERT INTO public.name VALUES (1, 1, '181');
INSERT INTO public.name VALUES (2, 1, 'view');
INSERT INTO public.schema_version VALUES ('1');
INSERT INTO public.subject VALUES (1, 1, '17', '{"plan":"family"}', 1700000000);
SELECT pg_catalog.setval('public.audit_seq_seq', 1, false);
SELECT pg_catalog.setval('public.domain_id_seq', 1, true);
SELECT pg_catalog.setval('public.event_seq_seq', 1, true);
SELECT pg_catalog.setval('public.item_id_seq', 1, true);
SELECT pg_catalog.setval('public.name_id_seq', 2, true);
SELECT pg_catalog.setval('public.subject_id_seq', 1, true);
ALTER TABLE ONLY public.api_key
    ADD CONSTRAINT pk_api_key PRIMARY KEY (prefix);
ALTER TABLE ONLY public.audit
    ADD CONSTRAINT pk_audit PRIMARY KEY (seq);
ALTER TABLE ONLY public.deleted_user
    ADD CONSTRAINT pk_deleted_user PRIMARY KEY (domain, user_id);
ALTER TABLE ONLY public.domain
    ADD CONSTRAINT pk_domain PRIMARY KEY (id);
ALTER TABLE ONLY public.event
    ADD CONSTRAINT pk_event PRIMARY KEY (seq);
ALTER TABLE ONLY public.idempotency
    ADD CONSTRAINT pk_idempotency PRIMARY KEY (domain, key);
ALTER TABLE ONLY public.item
    ADD CONSTRAINT pk_item PRIMARY KEY (id);
ALTER TABLE ONLY public.list
    ADD CONSTRAINT pk_list PRIMARY KEY (domain, list_id);
ALTER TABLE ONLY public.meta
    ADD CONSTRAINT pk_meta PRIMARY KEY (key);
ALTER TABLE ONLY public.name
    ADD CONSTRAINT pk_name PRIMARY KEY (id);
ALTER TABLE ONLY public.subject
    ADD CONSTRAINT pk_subject PRIMARY KEY (id);
ALTER TABLE ONLY public.schema_version
    ADD CONSTRAINT schema_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.domain
    ADD CONSTRAINT uq_domain_name UNIQUE (name);
ALTER TABLE ONLY public.event
    ADD CONSTRAINT uq_event_domain_event_id UNIQUE (domain, event_id);
ALTER TABLE ONLY public.item
    ADD CONSTRAINT uq_item_domain_item_id UNIQUE (domain, item_id);
ALTER TABLE ONLY public.name
    ADD CONSTRAINT uq_name_domain_text UNIQUE (domain, text);
ALTER TABLE ONLY public.subject
    ADD CONSTRAINT uq_subject_domain_user_id UNIQUE (domain, user_id);
CREATE INDEX event_of_list ON public.event USING btree (list_id) WHERE (list_id IS NOT NULL);
CREATE INDEX event_of_subject ON public.event USING btree (subject, seq);
CREATE INDEX list_by_time ON public.list USING btree (domain, at);
CREATE INDEX list_of_subject ON public.list USING btree (subject);
ALTER TABLE ONLY public.deleted_user
    ADD CONSTRAINT fk_deleted_user_domain FOREIGN KEY (domain) REFERENCES public.domain(id);
ALTER TABLE ONLY public.event
    ADD CONSTRAINT fk_event_subject FOREIGN KEY (subject) REFERENCES public.subject(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.idempotency
    ADD CONSTRAINT fk_idempotency_domain FOREIGN KEY (domain) REFERENCES public.domain(id);
ALTER TABLE ONLY public.item
    ADD CONSTRAINT fk_item_domain FOREIGN KEY (domain) REFERENCES public.domain(id);
ALTER TABLE ONLY public.list
    ADD CONSTRAINT fk_list_domain FOREIGN KEY (domain) REFERENCES public.domain(id);
ALTER TABLE ONLY public.list
    ADD CONSTRAINT fk_list_subject FOREIGN KEY (subject) REFERENCES public.subject(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.name
    ADD CONSTRAINT fk_name_domain FOREIGN KEY (domain) REFERENCES public.domain(id);
ALTER TABLE ONLY public.subject
    ADD CONSTRAINT fk_subject_domain FOREIGN KEY (domain) REFERENCES public.domain(id);
