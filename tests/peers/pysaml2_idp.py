"""pysaml2_idp.py CONFIG.json: an identity provider on loopback. pysaml2 does the SAML, this file the HTTP around it.

README.md says what CONFIG.json holds, what is printed and when it ends.
"""

import functools
import html
import json
import os
import re
import shutil
import sys
import threading
import traceback
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit
from xml.sax.saxutils import quoteattr

warnings.filterwarnings("ignore")  # deprecations between pysaml2 and its own dependencies

import saml2.entity  # noqa: E402
import saml2.sigver  # noqa: E402
from saml2 import BINDING_HTTP_POST, BINDING_HTTP_REDIRECT, xmldsig  # noqa: E402
from saml2.authn_context import PASSWORDPROTECTEDTRANSPORT  # noqa: E402
from saml2.config import IdPConfig  # noqa: E402
from saml2.metadata import entity_descriptor  # noqa: E402
from saml2.samlp import STATUS_SUCCESS, logout_response_from_string  # noqa: E402
from saml2.saml import NAMEID_FORMAT_EMAILADDRESS, NameID  # noqa: E402
from saml2.server import Server  # noqa: E402

CONFIG = Path(sys.argv[1])
HERE = Path(__file__).resolve().parent
KEYS = Path(os.environ.get("PEERS_HOME") or HERE / "../../target/peers") / "keys"
ALGORITHMS = {
    "rsa-sha1": (xmldsig.SIG_RSA_SHA1, xmldsig.DIGEST_SHA1),
    "rsa-sha256": (xmldsig.SIG_RSA_SHA256, xmldsig.DIGEST_SHA256),
    "rsa-sha512": (xmldsig.SIG_RSA_SHA512, xmldsig.DIGEST_SHA512),
}
LOGOUT_BINDINGS = {"redirect": BINDING_HTTP_REDIRECT, "post": BINDING_HTTP_POST}
# Of encrypted assertions: the algorithm, and the session key that xmlsec1 is to make. pysaml2 itself knows only 3DES.
CIPHERS = {
    "aes128-gcm": ("http://www.w3.org/2009/xmlenc11#aes128-gcm", "aes-128"),
    "aes256-gcm": ("http://www.w3.org/2009/xmlenc11#aes256-gcm", "aes-256"),
    "aes128-cbc": ("http://www.w3.org/2001/04/xmlenc#aes128-cbc", "aes-128"),
    "tripledes-cbc": ("http://www.w3.org/2001/04/xmlenc#tripledes-cbc", "des-192"),
}


def sp_metadata(config):
    """The service provider's own metadata when the configuration names its file, else the least that pysaml2 needs of it."""
    if config.get("sp_metadata"):
        return Path(config["sp_metadata"]).read_text()
    return (
        '<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" '
        f"entityID={quoteattr(config['sp_entity_id'])}>"
        '<md:SPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">'
        f'<md:AssertionConsumerService Binding="{BINDING_HTTP_POST}" Location={quoteattr(config["acs_url"])} index="0" '
        'isDefault="true"/></md:SPSSODescriptor></md:EntityDescriptor>'
    )


class Provider:
    """pysaml2's server for the configuration file as it stands; read again whenever the file changes."""

    def __init__(self, base):
        self.base = base
        self.lock = threading.Lock()
        self.made_from = self.server = None
        self.sessions = {}  # user name -> SessionIndex of the latest sign-in

    def current(self):
        config = json.loads(CONFIG.read_text())
        metadata = sp_metadata(config)
        with self.lock:
            if self.made_from != (config, metadata):
                self.server = Server(config=IdPConfig().load(self.settings(config, metadata)))
                self.made_from = (config, metadata)
            return config, self.server

    def settings(self, config, metadata):
        key = KEYS / config.get("key", "pysaml2")
        signature, digest = ALGORITHMS[config.get("algorithm", "rsa-sha256")]
        name_id_format = config.get("name_id_format", NAMEID_FORMAT_EMAILADDRESS)
        return {
            "entityid": config.get("entity_id") or f"{self.base}/metadata",
            "xmlsec_binary": shutil.which("xmlsec1"),
            "key_file": f"{key}.key",
            "cert_file": f"{key}.crt",
            "metadata": {"inline": [metadata]},
            "signing_algorithm": signature,
            "digest_algorithm": digest,
            "allow_unknown_attributes": True,
            "service": {
                "idp": {
                    "name": "pysaml2",
                    "endpoints": {
                        "single_sign_on_service": [(f"{self.base}/sso", BINDING_HTTP_REDIRECT)],
                        "single_logout_service": [(f"{self.base}/slo", LOGOUT_BINDINGS[name]) for name in config.get("logout", [])],
                    },
                    "want_authn_requests_signed": config.get("want_signed_requests", False),
                    "name_id_format": [name_id_format],
                    "policy": {
                        "default": {
                            "lifetime": {"minutes": 5},
                            "attribute_restrictions": None,
                            "name_form": "urn:oasis:names:tc:SAML:2.0:attrname-format:basic",
                            "nameid_format": name_id_format,
                        }
                    },
                }
            },
        }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer()

    def do_POST(self):
        self.answer()

    def answer(self):
        try:
            status, media_type, body = self.route()
        except Exception:
            status, media_type, body = 500, "text/plain", traceback.format_exc()
            sys.stderr.write(body)
        self.send_response(status)
        if status == 303:
            self.send_header("Location", body)
        body = body.encode()
        self.send_header("Content-Type", f"{media_type}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def route(self):
        url = urlsplit(self.path)
        form = dict(parse_qsl(url.query, keep_blank_values=True))
        form |= dict(parse_qsl(self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode(), keep_blank_values=True))
        config, server = self.server.provider.current()
        if url.path == "/metadata":
            return 200, "application/samlmetadata+xml", str(entity_descriptor(server.config))
        if url.path == "/slo":
            return logout(config, server, form, BINDING_HTTP_POST if self.command == "POST" else BINDING_HTTP_REDIRECT)
        if url.path == "/slo/begin":
            return begin_logout(config, server, self.server.provider.sessions, form)
        if url.path != "/sso":
            return 404, "text/plain", "not found"
        if "username" not in form:
            return 200, "text/html", login_form(form)
        user = config["users"].get(form["username"])
        if not user or user["password"] != form.get("password"):
            return 401, "text/plain", "wrong user name or password"
        page, index = sign_in(config, server, user, form)
        self.server.provider.sessions[form["username"]] = index
        return 200, "text/html", page

    def log_message(self, *_):
        pass


def login_form(form):
    hidden = "".join(f"<input type=hidden name={quoteattr(k)} value={quoteattr(v)}>" for k, v in form.items())
    return f"<form method=post action=/sso>{hidden}<input name=username><input type=password name=password><button>Sign in</button></form>"


def sign_in(config, server, user, form):
    """The page that carries the response to the service provider, and the SessionIndex where it stands there in clear."""
    if "SAMLRequest" in form:  # asked for by the service provider, else started here
        request = server.parse_authn_request(
            form["SAMLRequest"],
            BINDING_HTTP_REDIRECT,
            relay_state=form.get("RelayState"),
            sigalg=form.get("SigAlg"),
            signature=form.get("Signature"),
        )
        asked = server.response_args(request.message, [BINDING_HTTP_POST])
        in_response_to, destination, sp = asked["in_response_to"], asked["destination"], asked["sp_entity_id"]
    else:
        in_response_to, destination, sp = None, config["acs_url"], config["sp_entity_id"]
    signature, digest = ALGORITHMS[config.get("algorithm", "rsa-sha256")]
    sign = config.get("sign", "assertion")
    if config.get("encrypt"):
        cipher, session_key = CIPHERS[config["encrypt"]]
        saml2.entity.pre_encryption_part = functools.partial(saml2.sigver.pre_encryption_part, msg_enc=cipher)
        server.sec.encrypt_assertion = functools.partial(type(server.sec).encrypt_assertion, server.sec, key_type=session_key)
    response = server.create_authn_response(
        user["attributes"],
        in_response_to,
        destination,
        sp,
        name_id=NameID(format=config.get("name_id_format", NAMEID_FORMAT_EMAILADDRESS), text=user["name_id"]),
        userid=form["username"],
        authn={"class_ref": PASSWORDPROTECTEDTRANSPORT, "authn_auth": server.config.entityid},
        sign_response=sign in ("response", "both"),
        sign_assertion=sign in ("assertion", "both"),
        sign_alg=signature,
        digest_alg=digest,
        encrypt_assertion=bool(config.get("encrypt")),
    )
    index = re.search(' SessionIndex="([^"]+)"', str(response))
    page = server.apply_binding(BINDING_HTTP_POST, str(response), destination, form.get("RelayState", ""), response=True)["data"]
    return page, index and index[1]


def begin_logout(config, server, sessions, form):
    """Signs a user out, of the latest session or (`all`) of every one: the way to the service provider's logout service."""
    user, binding = config["users"][form["user"]], LOGOUT_BINDINGS[form["binding"]]
    _, destination = server.pick_binding("single_logout_service", [binding], "spsso", entity_id=config["sp_entity_id"])
    signature, digest = ALGORITHMS[config.get("algorithm", "rsa-sha256")]
    _, request = server.create_logout_request(
        destination,
        config["sp_entity_id"],
        name_id=NameID(format=config.get("name_id_format", NAMEID_FORMAT_EMAILADDRESS), text=user["name_id"]),
        session_indexes=None if "all" in form else [sessions[form["user"]]],
        sign=binding == BINDING_HTTP_POST,
        sign_alg=signature,
        digest_alg=digest,
    )
    return carry(server, config, binding, request, destination, form.get("RelayState", ""), False)


def logout(config, server, form, binding):
    """Takes a LogoutRequest or a LogoutResponse, refuses what the service provider did not sign, and answers a request."""
    if "SAMLResponse" in form:
        xml = server.unravel(form["SAMLResponse"], binding)
        if binding == BINDING_HTTP_POST:
            server.sec.correctly_signed_logout_response(xml, must=True)
        else:
            certificates = server.metadata.certs(config["sp_entity_id"], "spsso", "signing")
            signed = {name: form[name] for name in ("SAMLResponse", "RelayState", "SigAlg", "Signature") if name in form}
            if not any(saml2.sigver.verify_redirect_signature(signed, server.sec.sec_backend, pem) for _, pem in certificates):
                return 403, "text/plain", "the LogoutResponse was not signed by the service provider"
        status = logout_response_from_string(xml).status.status_code.value
        verdict = "signed out everywhere" if status == STATUS_SUCCESS else f"not signed out: {status}"
        return 200, "text/html", f"<p>{html.escape(verdict)}; RelayState {html.escape(form.get('RelayState', 'none'))}</p>"
    request = server.parse_logout_request(
        form["SAMLRequest"],
        binding,
        relay_state=form.get("RelayState"),
        sigalg=form.get("SigAlg"),
        signature=form.get("Signature"),
    )
    signature, digest = ALGORITHMS[config.get("algorithm", "rsa-sha256")]
    by_post = binding == BINDING_HTTP_POST
    destination = server.response_args(request.message, [binding])["destination"]
    answer = server.create_logout_response(request.message, [binding], sign=by_post, sign_alg=signature, digest_alg=digest)
    return carry(server, config, binding, answer, destination, form.get("RelayState", ""), True)


def carry(server, config, binding, message, destination, relay_state, is_response):
    """A message on its way through the browser: signed in itself by POST, in the query by redirect."""
    signature, _ = ALGORITHMS[config.get("algorithm", "rsa-sha256")]
    by_redirect = binding == BINDING_HTTP_REDIRECT
    sent = server.apply_binding(binding, str(message), destination, relay_state, response=is_response, sign=by_redirect, sigalg=signature)
    return (303, "text/plain", dict(sent["headers"])["Location"]) if by_redirect else (200, "text/html", sent["data"])


def end_with_stdin():
    while os.read(0, 4096):
        pass
    os._exit(0)


http = ThreadingHTTPServer(("127.0.0.1", json.loads(CONFIG.read_text()).get("port", 0)), Handler)
base = f"http://127.0.0.1:{http.server_port}"
http.provider = Provider(base)
config, _ = http.provider.current()
threading.Thread(target=end_with_stdin, daemon=True).start()
ready = {
    "idp": "pysaml2",
    "port": http.server_port,
    "entity_id": config.get("entity_id") or f"{base}/metadata",
    "metadata_url": f"{base}/metadata",
    "sso_url": f"{base}/sso",
    "initiate_url": f"{base}/sso",
}
print(json.dumps(ready), flush=True)
http.serve_forever()
