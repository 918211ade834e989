"""browser.py START_URL --user NAME --password PASSWORD [--relay-state TEXT] [--hold] [--then sign-out|URL]: a person's browser without
the person.

Follows redirects and forms from START_URL (a service provider's login, or an identity provider's own page), keeps cookies, types the
password, and carries the SAMLResponse to the assertion consumer service. README.md says what is printed. Speaks to loopback only.
"""

import argparse
import json
import sys
from urllib.parse import urljoin, urlsplit

import requests
from lxml import html

STEPS = 12


def on_loopback(url):
    if urlsplit(url).hostname not in ("127.0.0.1", "localhost", "::1"):
        sys.exit(f"{url} is not on loopback")
    return url


def to_response(session, start, user, password):
    """Goes on until a form holds a SAMLResponse; its action and fields."""
    answer = session.get(on_loopback(start), allow_redirects=False, timeout=30)
    for _ in range(STEPS):
        if answer.is_redirect:
            answer = session.get(on_loopback(urljoin(answer.url, answer.headers["Location"])), allow_redirects=False, timeout=30)
            continue
        forms = html.fromstring(answer.text).forms if answer.text.strip() and answer.ok else []
        if not forms:
            sys.exit(f"{answer.url} answered {answer.status_code} without a form: {answer.text[:2000]}")
        form = forms[0]
        action = on_loopback(urljoin(answer.url, form.action or ""))
        fields = {name: value or "" for name, value in form.form_values()}
        if "SAMLResponse" in fields:
            return action, fields
        if "username" in form.fields:
            fields |= {"username": user, "password": password}
        if form.method.upper() == "POST":
            answer = session.post(action, data=fields, allow_redirects=False, timeout=30)
        else:
            answer = session.get(action, params=fields, allow_redirects=False, timeout=30)
    sys.exit(f"no SAMLResponse after {STEPS} steps, last at {answer.url}")


def to_end(session, answer):
    """Goes on by redirects, by pages that go on by themselves, and by forms that carry a SAML message, until nothing is left to follow."""
    for _ in range(STEPS):
        if answer.is_redirect:
            answer = session.get(on_loopback(urljoin(answer.url, answer.headers["Location"])), allow_redirects=False, timeout=30)
            continue
        page = html.fromstring(answer.text) if answer.text.strip() and "html" in answer.headers.get("Content-Type", "") else None
        if page is None:
            return answer
        carrying = [form for form in page.forms if {"SAMLRequest", "SAMLResponse"} & set(form.fields)]
        onward = page.xpath("//meta[@http-equiv='refresh']/@content")
        if carrying:
            form = carrying[0]
            fields = {name: value or "" for name, value in form.form_values()}
            answer = session.post(on_loopback(urljoin(answer.url, form.action)), data=fields, allow_redirects=False, timeout=30)
        elif onward:
            answer = session.get(on_loopback(urljoin(answer.url, onward[0].split("url=", 1)[1])), allow_redirects=False, timeout=30)
        else:
            return answer
    sys.exit(f"no end after {STEPS} steps, last at {answer.url}")


def sign_out(session, me_url):
    """The service provider's own button."""
    me = session.get(me_url, headers={"Accept": "application/json"}, timeout=30).json()
    form = {"csrf_token": me["csrf_token"]}
    return session.post(urljoin(me_url, "/logout"), data=form, headers={"Accept": "text/html"}, allow_redirects=False, timeout=30)


def main():
    arguments = argparse.ArgumentParser(description="signs a person in by SAML")
    arguments.add_argument("start_url")
    arguments.add_argument("--user", required=True)
    arguments.add_argument("--password", required=True)
    arguments.add_argument("--relay-state", help="sent in place of the RelayState that the identity provider gave")
    arguments.add_argument("--hold", action="store_true", help="do not post the response, only print it")
    arguments.add_argument("--then", help="afterwards: `sign-out` at the service provider, or an address to open; followed to its end")
    arguments = arguments.parse_args()

    session = requests.Session()
    session.trust_env = False  # no proxy between loopback and loopback
    action, fields = to_response(session, arguments.start_url, arguments.user, arguments.password)
    if arguments.relay_state is not None:
        fields["RelayState"] = arguments.relay_state
    result = {"acs_url": action, "saml_response": fields["SAMLResponse"], "relay_state": fields.get("RelayState")}
    if not arguments.hold:
        answer = session.post(action, data=fields, allow_redirects=False, timeout=30)
        result |= {
            "status": answer.status_code,
            "location": answer.headers.get("Location"),
            "set_cookie": [value for name, value in answer.raw.headers.items() if name.lower() == "set-cookie"],
            "body": answer.text,
            "me": None,
        }
        if answer.is_redirect:
            me = session.get(on_loopback(urljoin(action, "/me")), headers={"Accept": "application/json"}, allow_redirects=False, timeout=30)
            result["me"] = me.json() if me.ok and "json" in me.headers.get("Content-Type", "") else None
    if arguments.then:
        me_url = on_loopback(urljoin(action, "/me"))
        if arguments.then == "sign-out":
            answer = sign_out(session, me_url)
        else:
            answer = session.get(on_loopback(arguments.then), allow_redirects=False, timeout=30)
        answer = to_end(session, answer)
        me = session.get(me_url, headers={"Accept": "application/json"}, allow_redirects=False, timeout=30)
        result["then"] = {"url": answer.url, "status": answer.status_code, "body": answer.text, "me_status": me.status_code}
    result["cookies"] = session.cookies.get_dict()
    print(json.dumps(result))


main()
