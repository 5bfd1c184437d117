-- A store of schema 1, frozen. Do not edit.
BEGIN TRANSACTION;
CREATE TABLE api_key (
	prefix VARCHAR(20) NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	role VARCHAR(20) NOT NULL, 
	domains TEXT, 
	created DOUBLE NOT NULL, 
	expires DOUBLE, 
	revoked DOUBLE, 
	last_used DOUBLE, 
	rate DOUBLE, 
	burst INTEGER, 
	label TEXT NOT NULL, 
	CONSTRAINT pk_api_key PRIMARY KEY (prefix)
);
CREATE TABLE audit (
	seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	at DOUBLE NOT NULL, 
	"key" VARCHAR(20) NOT NULL, 
	action VARCHAR(100) NOT NULL, 
	subject TEXT NOT NULL, 
	detail TEXT NOT NULL, 
	chain VARCHAR(64) NOT NULL
);
CREATE TABLE deleted_user (
	domain INTEGER NOT NULL, 
	user_id VARCHAR(500) NOT NULL, 
	at DOUBLE NOT NULL, 
	CONSTRAINT pk_deleted_user PRIMARY KEY (domain, user_id), 
	CONSTRAINT fk_deleted_user_domain FOREIGN KEY(domain) REFERENCES domain (id)
);
CREATE TABLE domain (
	id INTEGER NOT NULL, 
	name VARCHAR(200) NOT NULL, 
	settings TEXT, 
	live_generation VARCHAR(100), 
	created DOUBLE NOT NULL, 
	CONSTRAINT pk_domain PRIMARY KEY (id), 
	CONSTRAINT uq_domain_name UNIQUE (name)
);
INSERT INTO "domain" VALUES(1,'movies',NULL,NULL,1700000000.0);
CREATE TABLE event (
	seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	domain INTEGER NOT NULL, 
	event_id VARCHAR(500) NOT NULL, 
	subject INTEGER NOT NULL, 
	item INTEGER NOT NULL, 
	kind INTEGER NOT NULL, 
	happened DOUBLE NOT NULL, 
	received DOUBLE NOT NULL, 
	rating DOUBLE, 
	value DOUBLE, 
	list_id VARCHAR(500), 
	position INTEGER, 
	session VARCHAR(500), 
	CONSTRAINT uq_event_domain_event_id UNIQUE (domain, event_id), 
	CONSTRAINT fk_event_subject FOREIGN KEY(subject) REFERENCES subject (id) ON DELETE CASCADE
);
INSERT INTO "event" VALUES(1,1,'e1',1,1,2,5.5,6.5,4.0,2.5,'l1',1,'s1');
CREATE TABLE idempotency (
	domain INTEGER NOT NULL, 
	"key" VARCHAR(500) NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	status INTEGER, 
	answer TEXT, 
	expires DOUBLE NOT NULL, 
	CONSTRAINT pk_idempotency PRIMARY KEY (domain, "key"), 
	CONSTRAINT fk_idempotency_domain FOREIGN KEY(domain) REFERENCES domain (id)
);
CREATE TABLE item (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	domain INTEGER NOT NULL, 
	item_id VARCHAR(500) NOT NULL, 
	title TEXT NOT NULL, 
	fields TEXT NOT NULL, 
	text TEXT NOT NULL, 
	available BOOLEAN NOT NULL, 
	created DOUBLE NOT NULL, 
	changed DOUBLE NOT NULL, 
	withdrawn DOUBLE, 
	version INTEGER NOT NULL, 
	CONSTRAINT uq_item_domain_item_id UNIQUE (domain, item_id), 
	CONSTRAINT fk_item_domain FOREIGN KEY(domain) REFERENCES domain (id)
);
INSERT INTO "item" VALUES(1,1,'m1','Up (2009)','{"genre":["Drama"],"year":2009}','Balloons.',1,1700000000.0,1700000000.0,NULL,1);
CREATE TABLE list (
	domain INTEGER NOT NULL, 
	list_id VARCHAR(500) NOT NULL, 
	at DOUBLE NOT NULL, 
	subject INTEGER, 
	request TEXT NOT NULL, 
	generation VARCHAR(100) NOT NULL, 
	"view" INTEGER NOT NULL, 
	history_seq BIGINT NOT NULL, 
	policy VARCHAR(100) NOT NULL, 
	items BLOB NOT NULL, 
	scores BLOB NOT NULL, 
	shown BLOB NOT NULL, 
	notes TEXT NOT NULL, 
	extra TEXT NOT NULL, 
	micros INTEGER NOT NULL, 
	CONSTRAINT pk_list PRIMARY KEY (domain, list_id), 
	CONSTRAINT fk_list_domain FOREIGN KEY(domain) REFERENCES domain (id), 
	CONSTRAINT fk_list_subject FOREIGN KEY(subject) REFERENCES subject (id) ON DELETE CASCADE
);
INSERT INTO "list" VALUES(1,'l1',7.5,1,'{"n":1}','g-1',1,1,'greedy',X'01000000',X'00002040',X'','[]','{}',0);
CREATE TABLE meta (
	"key" VARCHAR(100) NOT NULL, 
	value TEXT NOT NULL, 
	CONSTRAINT pk_meta PRIMARY KEY ("key")
);
INSERT INTO "meta" VALUES('written','1700000000.0');
CREATE TABLE name (
	id INTEGER NOT NULL, 
	domain INTEGER NOT NULL, 
	text VARCHAR(500) NOT NULL, 
	CONSTRAINT pk_name PRIMARY KEY (id), 
	CONSTRAINT uq_name_domain_text UNIQUE (domain, text), 
	CONSTRAINT fk_name_domain FOREIGN KEY(domain) REFERENCES domain (id)
);
INSERT INTO "name" VALUES(1,1,'181');
INSERT INTO "name" VALUES(2,1,'view');
CREATE TABLE schema_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT schema_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "schema_version" VALUES('1');
CREATE TABLE subject (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	domain INTEGER NOT NULL, 
	user_id VARCHAR(500) NOT NULL, 
	labels TEXT, 
	created DOUBLE NOT NULL, 
	CONSTRAINT uq_subject_domain_user_id UNIQUE (domain, user_id), 
	CONSTRAINT fk_subject_domain FOREIGN KEY(domain) REFERENCES domain (id)
);
INSERT INTO "subject" VALUES(1,1,'17','{"plan":"family"}',1700000000.0);
CREATE INDEX event_of_subject ON event (subject, seq);
CREATE INDEX event_of_list ON event (list_id) WHERE list_id IS NOT NULL;
CREATE INDEX list_of_subject ON list (subject);
CREATE INDEX list_by_time ON list (domain, at);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('subject',1);
INSERT INTO "sqlite_sequence" VALUES('event',1);
INSERT INTO "sqlite_sequence" VALUES('item',1);
COMMIT;
