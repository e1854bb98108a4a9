"""Proto to use case and back."""

# ruff: noqa: N802, ARG002, D102 - names and signatures are those of gRPC; the proto documents the methods.

from functools import partial

import grpc
from google.protobuf.empty_pb2 import Empty
from rapport.access.v1 import access_service_pb2 as pb
from rapport.access.v1 import (
    access_service_pb2_grpc,
    issuer_pb2,
    key_pb2,
    principal_pb2,
    role_pb2,
    tenant_pb2,
)

from access import key_set_source
from access.key_sets import KeySets
from access.settings import Settings
from access.usecases import exchange, issuers, keys, principals, roles, tenants
from access.usecases.grants import refusal
from chassis import clock

Context = grpc.ServicerContext


class AccessServicer(access_service_pb2_grpc.AccessServiceServicer):
    """`rapport.access.v1.AccessService`; its proto is the specification."""

    def __init__(self, settings: Settings) -> None:
        # On platforms marked test, issuers may be served by http on this machine.
        self._loopback = settings.environment == "test"
        self._key_sets = KeySets(partial(key_set_source.fetch, loopback=self._loopback))

    def CreateTenant(self, request: pb.CreateTenantRequest, context: Context) -> tenant_pb2.Tenant:
        return tenants.create_tenant(request.tenant_id, request.tenant).to_proto()

    def GetTenant(self, request: pb.GetTenantRequest, context: Context) -> tenant_pb2.Tenant:
        return tenants.get_tenant(_uid(request.name)).to_proto()

    def ListTenants(self, request: pb.ListTenantsRequest, context: Context) -> pb.ListTenantsResponse:
        found, token = tenants.list_tenants(request)
        return pb.ListTenantsResponse(tenants=[item.to_proto() for item in found], next_page_token=token)

    def UpdateTenant(self, request: pb.UpdateTenantRequest, context: Context) -> tenant_pb2.Tenant:
        message, mask = request.tenant, request.update_mask
        return tenants.update_tenant(_uid(message.name), message, mask).to_proto()

    def CreateRole(self, request: pb.CreateRoleRequest, context: Context) -> role_pb2.Role:
        return roles.create_role(request.role_id, request.role).to_proto()

    def GetRole(self, request: pb.GetRoleRequest, context: Context) -> role_pb2.Role:
        return roles.get_role(_uid(request.name)).to_proto()

    def ListRoles(self, request: pb.ListRolesRequest, context: Context) -> pb.ListRolesResponse:
        found, token = roles.list_roles(request)
        return pb.ListRolesResponse(roles=[item.to_proto() for item in found], next_page_token=token)

    def UpdateRole(self, request: pb.UpdateRoleRequest, context: Context) -> role_pb2.Role:
        message, mask = request.role, request.update_mask
        return roles.update_role(_uid(message.name), message, mask).to_proto()

    def DeleteRole(self, request: pb.DeleteRoleRequest, context: Context) -> Empty:
        return roles.delete_role(_uid(request.name), request.etag)

    def CreatePrincipal(self, request: pb.CreatePrincipalRequest, context: Context) -> principal_pb2.Principal:
        return principals.create_principal(request.principal).to_proto()

    def GetPrincipal(self, request: pb.GetPrincipalRequest, context: Context) -> principal_pb2.Principal:
        return principals.get_principal(_uid(request.name)).to_proto()

    def ListPrincipals(self, request: pb.ListPrincipalsRequest, context: Context) -> pb.ListPrincipalsResponse:
        found, token = principals.list_principals(request)
        return pb.ListPrincipalsResponse(principals=[item.to_proto() for item in found], next_page_token=token)

    def UpdatePrincipal(self, request: pb.UpdatePrincipalRequest, context: Context) -> principal_pb2.Principal:
        message, mask = request.principal, request.update_mask
        return principals.update_principal(_uid(message.name), message, mask).to_proto()

    def DeletePrincipal(self, request: pb.DeletePrincipalRequest, context: Context) -> Empty:
        return principals.delete_principal(_uid(request.name), request.etag)

    def CreateKey(self, request: pb.CreateKeyRequest, context: Context) -> key_pb2.Key:
        key, text = keys.create_key(request.key)
        answer = key.to_proto(clock.real_now())
        answer.secret = text
        return answer

    def GetKey(self, request: pb.GetKeyRequest, context: Context) -> key_pb2.Key:
        return keys.get_key(_uid(request.name)).to_proto(clock.real_now())

    def ListKeys(self, request: pb.ListKeysRequest, context: Context) -> pb.ListKeysResponse:
        found, token = keys.list_keys(request)
        return pb.ListKeysResponse(keys=[item.to_proto(clock.real_now()) for item in found], next_page_token=token)

    def RevokeKey(self, request: pb.RevokeKeyRequest, context: Context) -> key_pb2.Key:
        return keys.revoke_key(_uid(request.name), request.etag).to_proto(clock.real_now())

    def CreateIssuer(self, request: pb.CreateIssuerRequest, context: Context) -> issuer_pb2.Issuer:
        return issuers.create_issuer(request.issuer, loopback=self._loopback).to_proto()

    def GetIssuer(self, request: pb.GetIssuerRequest, context: Context) -> issuer_pb2.Issuer:
        return issuers.get_issuer(_uid(request.name)).to_proto()

    def ListIssuers(self, request: pb.ListIssuersRequest, context: Context) -> pb.ListIssuersResponse:
        found, token = issuers.list_issuers(request)
        return pb.ListIssuersResponse(issuers=[item.to_proto() for item in found], next_page_token=token)

    def UpdateIssuer(self, request: pb.UpdateIssuerRequest, context: Context) -> issuer_pb2.Issuer:
        message, mask = request.issuer, request.update_mask
        return issuers.update_issuer(_uid(message.name), message, mask, loopback=self._loopback).to_proto()

    def DeleteIssuer(self, request: pb.DeleteIssuerRequest, context: Context) -> Empty:
        return issuers.delete_issuer(_uid(request.name), request.etag)

    def ExchangeCredential(
        self, request: pb.ExchangeCredentialRequest, context: Context
    ) -> pb.ExchangeCredentialResponse:
        kind = request.WhichOneof("credential")
        if kind is None:
            raise refusal([("credential", "Give one of api_key, write_key, jwt.")])
        with exchange.counted(kind):
            match kind:
                case "api_key":
                    made = exchange.exchange_api_key(request.api_key, request.tenant, request.audience)
                case "write_key":
                    made = exchange.exchange_write_key(request.write_key, request.tenant, request.audience)
                case "jwt":
                    made = exchange.exchange_jwt(request.jwt, request.tenant, request.audience, self._key_sets)
        return pb.ExchangeCredentialResponse(
            token=made.token,
            expire_time=made.expires,
            tenant=made.caller.tenant,
            principal=made.caller.principal,
            source=made.caller.source,
        )


def _uid(name: str) -> str:
    """The id in a resource name, whose shape the field check has made sure of."""
    return name.rpartition("/")[2]
