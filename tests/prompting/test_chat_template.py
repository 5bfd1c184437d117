# ruff: noqa: E501 - templates are written as they are
"""Chat templates of models: the same text as transformers gives, and no bomb goes off."""

import pytest
from effort import bounded
from fakes import byte_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st

from genre_gen.errors import PromptError
from genre_gen.prompting.chat_template import render_chat

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}
MESSAGES = [
    {"role": "system", "content": "  You know films.\n"},
    {"role": "user", "content": "Toy Story (1995)</think> <b>"},
    {"role": "assistant", "content": "Alien"},
]
# What published templates do, in templates of our own.
LIKE_CHATML = """{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>'
 + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"""
LIKE_LLAMA = """{{- bos_token }}
{%- if not date is defined %}{%- set date = "1 Jan 2025" %}{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|header|>system\n" + date + "\n" ~ system_message }}
{%- for message in messages %}
    {%- if not (message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|header|>' + message['role'] + '\n' + message['content'] | trim + '<|end|>' }}
    {%- elif tools is not none and tools %}{{- tools | tojson(indent=4) }}{%- endif %}
{%- endfor %}"""
LIKE_QWEN = """{%- set ns = namespace(multi_step=true, last=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step and message.role == "user" and not(message.content.startswith('<tool>')) %}
        {%- set ns.multi_step = false %}{%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}{%- set content = message.content %}{%- else %}{%- set content = '' %}{%- endif %}
    {%- if '</think>' in content %}{%- set content = content.split('</think>')[-1].lstrip('\n') %}{%- endif %}
    {%- if loop.index0 > ns.last or loop.last %}{{- '<think>' + ns.last|string }}{%- endif %}
    {{- '[' ~ message.role ~ ']' + content.strip('\n') }}
    {%- if message.name is defined %}{%- continue %}{%- endif %}
{%- endfor %}{%- macro end(text) %}{{ text }}{% endmacro %}{{- end(eos_token) }}"""
LIKE_PHI = """{% for message in messages %}{% if message['role'] == 'user' %}{% generation %}{{ message.content | upper }}
{% endgeneration %}{% elif loop.first %}{{ message.get('content', '')|trim|replace('films', 'books') }}{% endif %}
{% endfor %}{{ eos_token if add_generation_prompt is false else '' }}"""


@pytest.mark.parametrize("source", [LIKE_CHATML, LIKE_LLAMA, LIKE_QWEN, LIKE_PHI])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_text_is_what_transformers_renders(source, count):
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = source
    special = tokenizer.special_tokens_map
    expected = tokenizer.apply_chat_template(MESSAGES[:count], tokenize=False)
    assert render_chat(source, MESSAGES[:count], special) == expected
    assert "films" in expected.lower() or source == LIKE_PHI


def test_a_template_may_refuse_messages():
    source = "{% if messages[0].role == 'system' %}{{ raise_exception('No system!') }}{% endif %}ok"
    assert render_chat(source, MESSAGES, SPECIAL) is None
    assert render_chat(source, MESSAGES[1:], SPECIAL) == "ok"


def outcome(source):
    """Return what is printed, or the line that says why nothing is."""
    try:
        return render_chat(source, MESSAGES, SPECIAL) or ""
    except PromptError as problem:
        return str(problem)


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'a' * 200000000 }}",
        "{{ ['a'] * 200000000 }}",
        "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor %}",
        "{% for a in range(10 ** 9) %}{% endfor %}",
        "{% set ns = namespace(a='xxxxxxxxxxxxxxxx') %}{% for i in range(60) %}{% set ns.a = ns.a + ns.a %}{% endfor %}",
        "{% set ns = namespace(a='xxxxxxxxxxxxxxxx') %}{% for i in range(60) %}{% set ns.a = ns.a ~ ns.a %}{% endfor %}",
        "{% set ns = namespace(a='aaaaaaaaaa') %}{% for i in range(9) %}{% set ns.a = ns.a|replace('a', ns.a) %}{% endfor %}",
        "{% set ns = namespace(a=[1]) %}{% for i in range(60) %}{% set ns.a = ns.a + ns.a %}{% endfor %}",
        "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
        "{{ 1 / 0 }}",
        "{{ 9 ** 9 ** 9 ** 9 }}",
        "{{ '%9999999999d' % 1 }}",
        "{{ '{:>999999999}'.format(1) }}",
        "{{ 'a'.center(999999999) }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.__class__ }}",
        "{{ messages.append(1) }}",
        "{{ raise_exception.__globals__ }}",
        "{{ namespace.__init__ }}",
        "{% include 'x' %}",
        "{% import 'x' as y %}",
        "{{ strftime_now('%Y') }}",
        "{{ cycler }}{{ lipsum(n=9999) }}",
        "{{ messages|tojson(indent=99999999)|length ** 99 }}",
        "{{ 'a'|indent(99999999) }}",
        "{% for a in messages recursive %}{{ loop(messages) }}{% endfor %}",
        "{% if %}",
        "{{ (" * 5000,
        "x" * 70_000,
        "{% set x = dict() %}",
    ],
)
def test_a_hostile_template_is_one_line_at_once(source):
    with bounded():
        message = outcome(source)
    assert "\n" not in message
    assert len(message) < 300


PARTS = st.sampled_from(
    [
        "{% for m in messages %}", "{% endfor %}", "{{ m.content }}", "{% set x = ", "messages", " %}", "{{ x * 9999 }}", "range(9999)",
        "{% macro f(x) %}", "{% endmacro %}", "{{ f(x) }}", " ~ ", " + ", "'abc'", "|upper", "[::-1]", ".split('b')", "|join", "{{", "}}",
    ]
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(PARTS, max_size=12).map("".join))
def test_no_template_is_a_traceback(source):
    assert len(outcome(source)) < 100_000
