"""People who sign in at an outside issuer, whose keys a real HTTP server on loopback publishes."""

import base64
import hashlib
import hmac
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from google.protobuf.field_mask_pb2 import FieldMask
from rapport.access.v1 import access_service_pb2 as pb

from chassis.keys import keyring

SERVICE = "access"
AUDIENCE = "rapport"

pytestmark = pytest.mark.usefixtures("acme")

ALGORITHMS = {
    "RS256": jwt.algorithms.RSAAlgorithm,
    "ES256": jwt.algorithms.ECAlgorithm,
    "EdDSA": jwt.algorithms.OKPAlgorithm,
}


def new_key(algorithm):
    if algorithm == "RS256":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1()) if algorithm == "ES256" else ed25519.Ed25519PrivateKey.generate()


class Provider:
    """An OpenID provider: keys by id, and the server that publishes them."""

    def __init__(self):
        self.keys = {}
        self.fetches = 0
        self.status = 200
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                provider.fetches += 1
                body = provider.jwks().encode()
                self.send_response(provider.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format, *args):
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def add(self, kid, algorithm="ES256"):
        self.keys[kid] = (algorithm, new_key(algorithm))

    def jwks(self):
        return json.dumps({"keys": [self.jwk(kid) for kid in self.keys]})

    def jwk(self, kid):
        algorithm, key = self.keys[kid]
        return {**ALGORITHMS[algorithm].to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig"}

    def claims(self, **changed):
        now = int(time.time())
        claims = {"iss": self.uri, "aud": AUDIENCE, "sub": "u-1", "iat": now, "exp": now + 600, **changed}
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, kid="k1", headers=None, **changed):
        algorithm, key = self.keys[kid]
        return jwt.encode(self.claims(**changed), key, algorithm, headers={"kid": kid, **(headers or {})})


@pytest.fixture
def provider():
    made = Provider()
    made.add("k1")
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def issuer(caller, provider):
    return caller()(
        "CreateIssuer",
        pb.CreateIssuerRequest(
            issuer={
                "issuer_uri": provider.uri,
                "audience": AUDIENCE,
                "jwks_uri": f"{provider.uri}/jwks",
                "roles_claim": "roles",
                "allowed_roles": ["roles/agent", "roles/collector"],
            }
        ),
    )


@pytest.fixture
def ann(caller, provider):
    person = {"display_name": "Ann", "roles": ["roles/marketer"], "issuer": provider.uri, "subject": "u-1"}
    return caller()("CreatePrincipal", pb.CreatePrincipalRequest(principal=person))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_token_becomes_one_of_the_principal_with_its_subject(exchange, provider, issuer, ann, algorithm):
    provider.add("k2", algorithm)
    answer = exchange(jwt=provider.token("k2", roles=["agent"]), tenant="acme")

    assert (answer.tenant, answer.principal) == ("acme", ann.name)
    permissions = keyring().open_token(answer.token, "identity").permissions
    assert "identity.customers.get" in permissions
    # The principal's own roles decide, not those that the token brings.
    assert "identity.customers.create" not in permissions


def test_without_a_principal_the_allowed_roles_of_the_token_count(exchange, provider, issuer):
    answer = exchange(jwt=provider.token(sub="u-2", roles=["agent", "admin", "ghost"]), tenant="acme")

    assert answer.principal.startswith(f"{issuer.name}/subjects/")
    assert "u-2" not in answer.principal
    assert exchange(jwt=provider.token(sub="u-2", roles="agent"), tenant="acme").principal == answer.principal
    permissions = keyring().open_token(answer.token, "identity").permissions
    assert "identity.customers.create" in permissions
    assert "*" not in permissions


@pytest.mark.parametrize("roles", [None, [], ["admin"], {"agent": True}, 7, [["agent"]]])
def test_who_has_no_role_is_told_what_to_do(exchange_refused, provider, issuer, roles):
    refused = exchange_refused(jwt=provider.token(sub="u-3", roles=roles), tenant="acme")
    assert (refused.code, refused.reason) == ("PERMISSION_DENIED", "NO_ROLES")
    assert "administrator" in refused.message
    assert "u-3" not in refused.message


def test_a_disabled_principal_stays_out_whatever_its_token_brings(exchange_refused, caller, provider, issuer, ann):
    caller()("UpdatePrincipal", pb.UpdatePrincipalRequest(principal={"name": ann.name, "disabled": True}))
    refused = exchange_refused(jwt=provider.token(roles=["agent"]), tenant="acme")
    assert (refused.code, refused.reason) == ("UNAUTHENTICATED", "PRINCIPAL_DISABLED")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"exp": -61}, "TOKEN_EXPIRED"),
        ({"nbf": 120}, "TOKEN_INVALID"),
        ({"iat": 120}, "TOKEN_INVALID"),
        ({"aud": "another"}, "TOKEN_INVALID"),
        ({"aud": None}, "TOKEN_INVALID"),
        ({"exp": None}, "TOKEN_INVALID"),
        ({"exp": float("inf")}, "TOKEN_INVALID"),
        ({"iat": None}, "TOKEN_INVALID"),
        ({"sub": None}, "TOKEN_INVALID"),
        ({"sub": ""}, "TOKEN_INVALID"),
        ({"sub": "x" * 256}, "TOKEN_INVALID"),
        ({"iss": "https://unknown.example.com"}, "ISSUER_UNKNOWN"),
        ({"iss": None}, "TOKEN_INVALID"),
    ],
)
def test_wrong_claims_are_refused(exchange_refused, provider, issuer, ann, changed, reason):
    now = int(time.time())
    changed = {name: now + value if isinstance(value, int) else value for name, value in changed.items()}
    refused = exchange_refused(jwt=provider.token(**changed), tenant="acme")
    assert (refused.code, refused.reason) == ("UNAUTHENTICATED", reason)


def test_clocks_may_differ_by_a_minute_and_audiences_be_many(exchange, provider, issuer, ann):
    now = int(time.time())
    for changed in ({"exp": now - 50}, {"nbf": now + 50, "iat": now + 50}, {"aud": ["x", AUDIENCE]}, {"exp": 10**400}):
        assert exchange(jwt=provider.token(**changed), tenant="acme").principal == ann.name


def test_forged_tokens_are_refused(exchange_refused, provider, issuer, ann):
    attacker = Provider()
    attacker.keys["k1"] = ("ES256", new_key("ES256"))
    attacker.uri = provider.uri
    header, body, signature = provider.token(sub="u-9").split(".")
    changed = base64.urlsafe_b64encode(json.dumps(provider.claims()).encode()).rstrip(b"=").decode()
    forged = {
        "other key": attacker.token(),
        "changed body": f"{header}.{changed}.{signature}",
        "no signature": f"{header}.{body}.",
        "unknown kid": provider.token(headers={"kid": "k9"}),
        "critical header": provider.token(headers={"crit": ["exp"]}),
        "no token": "eyJ",
        "none": jwt.encode(provider.claims(), None, "none", headers={"kid": "k1"}),
    }
    attacker.server.server_close()
    for name, token in forged.items():
        refused = exchange_refused(jwt=token, tenant="acme")
        assert (refused.code, refused.reason) == ("UNAUTHENTICATED", "TOKEN_INVALID"), name
        assert token not in refused.message


def test_a_public_key_is_no_secret_of_hs256(exchange_refused, provider, issuer, ann):
    """Algorithm confusion (RFC 8725, section 2.1): signed by hand, because libraries refuse to."""
    provider.add("rsa", "RS256")
    public = provider.keys["rsa"][1].public_key()
    for encoding, form in (
        (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        (serialization.Encoding.PEM, serialization.PublicFormat.PKCS1),
        (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
    ):
        parts = [{"alg": "HS256", "typ": "JWT", "kid": "rsa"}, provider.claims()]
        signed = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
        mac = hmac.new(public.public_bytes(encoding, form), signed.encode(), hashlib.sha256).digest()
        token = f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
        refused = exchange_refused(jwt=token, tenant="acme")
        assert refused.reason == "TOKEN_INVALID"
        assert "algorithm" in refused.message


def test_an_algorithm_that_is_not_the_keys_is_refused(exchange_refused, provider, issuer, ann):
    provider.add("rsa", "RS256")
    # k1 is an EC key: the header says RS256, signed with an RSA key the issuer also has.
    token = jwt.encode(provider.claims(), provider.keys["rsa"][1], "RS256", headers={"kid": "k1"})
    assert exchange_refused(jwt=token, tenant="acme").reason == "TOKEN_INVALID"


def test_rotated_keys_are_fetched_once_and_made_up_ones_do_not_hammer_the_issuer(
    exchange, exchange_refused, provider, issuer, ann
):
    for _ in range(3):
        exchange(jwt=provider.token(), tenant="acme")
    assert provider.fetches == 1
    provider.add("k2")
    assert exchange(jwt=provider.token("k2"), tenant="acme").principal == ann.name
    assert provider.fetches == 2
    for number in range(5):
        assert (
            exchange_refused(jwt=provider.token(headers={"kid": f"x{number}"}), tenant="acme").reason == "TOKEN_INVALID"
        )
    assert provider.fetches == 2


def test_an_issuer_that_does_not_answer_is_unavailable_not_wrong(exchange_refused, provider, issuer, ann):
    provider.status = 500
    refused = exchange_refused(jwt=provider.token(), tenant="acme")
    assert (refused.code, refused.reason) == ("UNAVAILABLE", "ISSUER_UNREACHABLE")


def test_inline_keys_need_no_server(exchange, exchange_refused, caller, provider, ann):
    made = caller()(
        "CreateIssuer",
        pb.CreateIssuerRequest(issuer={"issuer_uri": provider.uri, "audience": AUDIENCE, "jwks": provider.jwks()}),
    )
    assert exchange(jwt=provider.token(), tenant="acme").principal == ann.name
    assert provider.fetches == 0
    provider.add("k2")
    assert exchange_refused(jwt=provider.token("k2"), tenant="acme").reason == "TOKEN_INVALID"
    caller()("UpdateIssuer", pb.UpdateIssuerRequest(issuer={"name": made.name, "jwks": provider.jwks()}))
    assert exchange(jwt=provider.token("k2"), tenant="acme").principal == ann.name
    caller()("DeleteIssuer", pb.DeleteIssuerRequest(name=made.name))
    assert exchange_refused(jwt=provider.token(), tenant="acme").reason == "ISSUER_UNKNOWN"


def test_the_tenant_is_chosen_by_the_caller_and_must_trust_the_issuer(exchange_refused, provider, issuer, ann):
    for tenant in ("", "a/b", "Acme"):
        assert "tenant" in exchange_refused(jwt=provider.token(), tenant=tenant).violations
    for tenant in ("other", "platform"):
        assert exchange_refused(jwt=provider.token(), tenant=tenant).reason == "ISSUER_UNKNOWN"


def test_what_is_wrong_with_an_issuer_is_named(caller, provider):
    provider.add("rsa", "RS256")
    private = jwt.algorithms.ECAlgorithm.to_jwk(provider.keys["k1"][1], as_dict=True)
    weak_key = rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key()
    weak = {**jwt.algorithms.RSAAlgorithm.to_jwk(weak_key, as_dict=True), "kid": "w"}
    twin = {**provider.jwk("rsa"), "kid": "k1"}
    secret = {"kty": "oct", "kid": "s", "k": base64.urlsafe_b64encode(bytes(32)).decode()}
    good = {"issuer_uri": "https://id.example.com", "audience": AUDIENCE, "jwks": provider.jwks()}

    def violations(**changed):
        return caller().refused("CreateIssuer", pb.CreateIssuerRequest(issuer={**good, **changed})).violations

    def jwks(*keys):
        return json.dumps({"keys": list(keys)})

    assert "issuer.issuer_uri" in violations(issuer_uri="http://id.example.com")
    assert "issuer.issuer_uri" in violations(issuer_uri="https://user:pw@id.example.com")
    assert "issuer.jwks_uri" in violations(jwks_uri="https://id.example.com/jwks")
    assert "issuer.jwks_uri" in violations(jwks="")
    for uri in (
        "https://10.0.0.1/jwks",
        "https://[::ffff:192.168.0.1]/",
        "https://169.254.169.254/",
        "file:///etc/passwd",
    ):
        assert "issuer.jwks_uri" in violations(jwks="", jwks_uri=uri), uri
    assert "private key" in violations(jwks=jwks({**private, "kid": "k1"}))["issuer.jwks"]
    assert "2048" in violations(jwks=jwks(weak))["issuer.jwks"]
    assert "neither RSA" in violations(jwks=jwks(secret))["issuer.jwks"]
    assert "kid" in violations(jwks=jwks({**provider.jwk("k1"), "kid": None}))["issuer.jwks"]
    assert "kid of another" in violations(jwks=jwks(provider.jwk("k1"), twin))["issuer.jwks"]
    assert "no keys" in violations(jwks=jwks())["issuer.jwks"].lower()
    assert "issuer.allowed_roles[0]" in violations(allowed_roles=["roles/ghost"])


def test_trusting_an_issuer_takes_what_its_people_hold(caller, provider, issuer, ann):
    clerk = caller(permissions={"access.issuers.*", "identity.customers.get"})
    replace = pb.UpdateIssuerRequest(
        issuer={"name": issuer.name, "jwks": provider.jwks()}, update_mask=FieldMask(paths=["jwks", "jwks_uri"])
    )
    assert clerk.refused("UpdateIssuer", replace).reason == "ESCALATION"
    allow = pb.UpdateIssuerRequest(issuer={"name": issuer.name, "allowed_roles": ["roles/admin"]})
    assert clerk.refused("UpdateIssuer", allow).reason == "ESCALATION"
    fewer = pb.UpdateIssuerRequest(issuer={"name": issuer.name, "allowed_roles": ["roles/agent"]})
    assert list(clerk("UpdateIssuer", fewer).allowed_roles) == ["roles/agent"]
    # Ann's role is reached by whoever holds the keys of the issuer she signs in at, even where no role is allowed.
    caller()("DeleteIssuer", pb.DeleteIssuerRequest(name=issuer.name))
    bare = {"issuer_uri": provider.uri, "audience": AUDIENCE, "jwks": provider.jwks()}
    assert clerk.refused("CreateIssuer", pb.CreateIssuerRequest(issuer=bare)).reason == "ESCALATION"
    caller()("CreateIssuer", pb.CreateIssuerRequest(issuer=bare))


def test_a_role_that_an_issuer_allows_is_in_use(caller, provider, issuer):
    caller()("CreateRole", pb.CreateRoleRequest(role_id="allowed", role={"permissions": ["identity.*"]}))
    caller()("UpdateIssuer", pb.UpdateIssuerRequest(issuer={"name": issuer.name, "allowed_roles": ["roles/allowed"]}))
    refused = caller().refused("DeleteRole", pb.DeleteRoleRequest(name="roles/allowed"))
    assert "allowed by 1 issuers" in refused.message


def test_an_issuer_is_of_one_tenant_and_there_once(caller, provider, issuer):
    same = {"issuer_uri": provider.uri, "audience": AUDIENCE, "jwks": provider.jwks()}
    assert caller().refused("CreateIssuer", pb.CreateIssuerRequest(issuer=same)).code == "ALREADY_EXISTS"
    moved = {"name": issuer.name, "issuer_uri": "https://id.example.com"}
    assert "cannot be changed" in caller().refused("UpdateIssuer", pb.UpdateIssuerRequest(issuer=moved)).message
    other = caller("other")
    for method, request in (
        ("GetIssuer", pb.GetIssuerRequest(name=issuer.name)),
        ("UpdateIssuer", pb.UpdateIssuerRequest(issuer={"name": issuer.name, "audience": "x"})),
        ("DeleteIssuer", pb.DeleteIssuerRequest(name=issuer.name)),
    ):
        assert other.refused(method, request).code == "NOT_FOUND"
    assert list(other("ListIssuers", pb.ListIssuersRequest()).issuers) == []
    other("CreateIssuer", pb.CreateIssuerRequest(issuer=same))
    assert issuer.name in {item.name for item in caller()("ListIssuers", pb.ListIssuersRequest(page_size=1000)).issuers}
