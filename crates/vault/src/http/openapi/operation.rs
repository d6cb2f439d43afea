//! One operation: what it takes, what it answers, what it refuses.

use std::collections::BTreeMap;

use heirloom_vault_api::{Code, Problem};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::{
    Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{AllOfBuilder, ObjectBuilder, Schema, Type};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{
    ContentBuilder, Ref, RefOr, Required, Response, ResponseBuilder, ResponsesBuilder,
};

use super::{Parts, Schemas};

/// The answer that says nothing but its status: `{}`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// Whether a request is signed in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SignIn {
    Nobody,
    Anybody,
    Needed,
}

/// What one route does, for the document.
pub(crate) struct Op {
    id: &'static str,
    summary: &'static str,
    sign_in: SignIn,
    body: Option<(&'static str, RefOr<Schema>)>,
    answers: Vec<(u16, &'static str, Option<RefOr<Schema>>)>,
    parameters: Vec<Parameter>,
    /// Headers of one answer's own.
    headers: Vec<(u16, &'static str, &'static str)>,
    codes: Vec<Code>,
    schemas: Schemas,
}

/// An operation that anybody may ask for. `id` is its name in generated clients.
///
/// Every one may be refused for too many requests, and because the vault cannot answer now.
pub(crate) fn op(id: &'static str, summary: &'static str) -> Op {
    Op {
        id,
        summary,
        sign_in: SignIn::Nobody,
        body: None,
        answers: Vec::new(),
        parameters: Vec::new(),
        headers: Vec::new(),
        codes: vec![Code::TooManyRequests, Code::Unavailable],
        schemas: Schemas::new(),
    }
}

fn reference<T: ToSchema>(schemas: &mut Schemas) -> RefOr<Schema> {
    T::schemas(schemas);
    schemas.push((T::name().into_owned(), T::schema()));
    Ref::from_schema_name(T::name()).into()
}

impl Op {
    /// For a signed-in account alone.
    pub(crate) fn signed_in(mut self) -> Self {
        self.sign_in = SignIn::Needed;
        self.refuses(&[Code::SignInNeeded, Code::SignedOut, Code::OutcomeUnknown])
    }

    /// For strangers too; whoever is signed in may get more.
    pub(crate) fn maybe_signed_in(mut self) -> Self {
        self.sign_in = SignIn::Anybody;
        self.refuses(&[Code::SignInNeeded, Code::SignedOut, Code::OutcomeUnknown])
    }

    /// Takes a JSON body.
    pub(crate) fn takes<T: ToSchema>(mut self) -> Self {
        self.body = Some(("application/json", reference::<T>(&mut self.schemas)));
        self.refuses(&[Code::BadRequest, Code::CutShort, Code::TooLarge])
    }

    /// Takes bytes.
    pub(crate) fn takes_bytes(mut self) -> Self {
        self.body = Some((BYTES, bytes()));
        self.refuses(&[Code::BadRequest, Code::CutShort, Code::TooLarge])
    }

    /// Answers JSON.
    pub(crate) fn answers<T: ToSchema>(mut self, status: u16) -> Self {
        let schema = reference::<T>(&mut self.schemas);
        self.answers
            .push((status, "application/json", Some(schema)));
        self
    }

    /// Answers JSON of no named kind.
    pub(crate) fn answers_schema(mut self, status: u16, schema: Schema) -> Self {
        self.answers
            .push((status, "application/json", Some(schema.into())));
        self
    }

    /// Answers plain text.
    pub(crate) fn answers_text(mut self, status: u16) -> Self {
        let text = ObjectBuilder::new().schema_type(Type::String).build();
        self.answers.push((
            status,
            "text/plain; charset=utf-8",
            Some(Schema::from(text).into()),
        ));
        self
    }

    /// Answers bytes.
    pub(crate) fn answers_bytes(mut self, status: u16) -> Self {
        self.answers.push((status, BYTES, Some(bytes())));
        self
    }

    /// A text that the answer of this status has as a header, always.
    pub(crate) fn sends(mut self, status: u16, name: &'static str, about: &'static str) -> Self {
        self.headers.push((status, name, about));
        self
    }

    /// May be refused so.
    pub(crate) fn refuses(mut self, codes: &[Code]) -> Self {
        self.codes.extend_from_slice(codes);
        self
    }

    /// May be sent again with the same `Idempotency-Key`.
    pub(crate) fn idempotent(self) -> Self {
        let key = ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(16))
            .max_length(Some(255))
            .pattern(Some(r"^[!#-+\--\[\]-~]+$"));
        self.of_header(
            "Idempotency-Key",
            "The same request with the same key gets the same answer, for a day",
            key,
        )
        .refuses(&[Code::BadRequest, Code::KeyReused])
    }

    /// A parameter of the path.
    pub(crate) fn of_path<T: ToSchema>(mut self, name: &str, about: &str) -> Self {
        let schema = reference::<T>(&mut self.schemas);
        let built = parameter(ParameterIn::Path, name, about, schema, Required::True);
        self.parameters.push(built);
        self.refuses(&[Code::BadRequest])
    }

    /// A text of the query that may be left out.
    pub(crate) fn of_query(mut self, name: &str, about: &str, schema: ObjectBuilder) -> Self {
        let schema = Schema::from(schema.build()).into();
        let built = parameter(ParameterIn::Query, name, about, schema, Required::False);
        self.parameters.push(built);
        self.refuses(&[Code::BadRequest])
    }

    /// A header of the request that may be left out.
    pub(crate) fn of_header(mut self, name: &str, about: &str, schema: ObjectBuilder) -> Self {
        let schema = Schema::from(schema.build()).into();
        let built = parameter(ParameterIn::Header, name, about, schema, Required::False);
        self.parameters.push(built);
        self
    }

    pub(super) fn built(self) -> (Operation, Parts) {
        let Self {
            id,
            summary,
            sign_in,
            body,
            answers,
            parameters,
            headers,
            codes,
            mut schemas,
        } = self;
        let mut responses = ResponsesBuilder::new();
        for (status, kind, schema) in answers {
            let content = ContentBuilder::new().schema(schema).build();
            let mut response = with_every_header(ResponseBuilder::new())
                .description(summary)
                .content(kind, content);
            for (_, name, about) in headers.iter().filter(|(of, ..)| *of == status) {
                response = response.header(*name, text_header(about));
            }
            responses = responses.response(status.to_string(), response.build());
        }
        let mut by_status = BTreeMap::<u16, Vec<&str>>::new();
        for code in codes {
            let names = by_status.entry(code.status()).or_default();
            if !names.contains(&code.name()) {
                names.push(code.name());
            }
        }
        let problem = reference::<Problem>(&mut schemas);
        let mut refusals = Vec::new();
        for (status, names) in by_status {
            let name = names.join(".");
            responses = responses.response(status.to_string(), Ref::from_response_name(&name));
            refusals.push((name, refusal(status, names, &problem)));
        }
        let mut operation = OperationBuilder::new()
            .operation_id(Some(id))
            .summary(Some(summary))
            .responses(responses.build())
            .parameters((!parameters.is_empty()).then_some(parameters))
            .request_body(body.map(|(kind, schema)| {
                // No bytes are bytes, too.
                let required = if kind == BYTES {
                    Required::False
                } else {
                    Required::True
                };
                RequestBodyBuilder::new()
                    .content(kind, ContentBuilder::new().schema(Some(schema)).build())
                    .required(Some(required))
                    .build()
            }));
        let token = || SecurityRequirement::new("token", Vec::<String>::new());
        operation = match sign_in {
            SignIn::Nobody => operation,
            SignIn::Anybody => {
                operation.securities(Some([SecurityRequirement::default(), token()]))
            }
            SignIn::Needed => operation.securities(Some([token()])),
        };
        let parts = Parts {
            schemas,
            responses: refusals,
        };
        (operation.build(), parts)
    }
}

const BYTES: &str = "application/octet-stream";

/// Headers that every answer has; the document names them once.
pub(super) const EVERY_ANSWER: [(&str, &str); 4] = [
    ("Cache-Control", "`no-store`"),
    (
        "RateLimit",
        "What is left of it: `\"address\";r=REQUESTS;t=SECONDS`",
    ),
    (
        "RateLimit-Policy",
        "What an address may ask: `\"address\";q=REQUESTS;w=SECONDS`",
    ),
    ("X-Content-Type-Options", "`nosniff`"),
];

fn with_every_header(response: ResponseBuilder) -> ResponseBuilder {
    EVERY_ANSWER.iter().fold(response, |response, (name, _)| {
        response.header_ref(*name, Ref::new(format!("#/components/headers/{name}")))
    })
}

/// A header that is a text.
pub(super) fn text_header(about: &str) -> Header {
    let text = ObjectBuilder::new().schema_type(Type::String).build();
    HeaderBuilder::new()
        .schema(Some(Schema::from(text)))
        .description(Some(about))
        .build()
}

/// Bytes as they are: OpenAPI 3.1 describes them by no schema of a text.
fn bytes() -> RefOr<Schema> {
    Schema::from(ObjectBuilder::new().schema_type(Type::String).build()).into()
}

fn parameter(
    place: ParameterIn,
    name: &str,
    about: &str,
    schema: RefOr<Schema>,
    required: Required,
) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .description(Some(about))
        .schema(Some(schema))
        .required(required)
        .build()
}

/// The answer of one status: a problem whose code is one of `names`.
fn refusal(status: u16, names: Vec<&str>, problem: &RefOr<Schema>) -> Response {
    let description = names.join(", ");
    let code = ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(names));
    let schema = AllOfBuilder::new().item(problem.clone()).item(
        ObjectBuilder::new()
            .property("code", code)
            .property("status", {
                ObjectBuilder::new()
                    .schema_type(Type::Integer)
                    .enum_values(Some([status]))
            }),
    );
    let content = ContentBuilder::new()
        .schema(Some(Schema::from(schema.build())))
        .build();
    let mut response = with_every_header(ResponseBuilder::new())
        .description(description)
        .content("application/problem+json", content);
    if status == 401 {
        response = response.header("WWW-Authenticate", text_header("`Bearer`"));
    }
    if status == 416 {
        response = response.header("Content-Range", text_header("`bytes */SIZE`"));
    }
    if matches!(status, 429 | 503) {
        let seconds = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(1));
        let header = HeaderBuilder::new()
            .schema(Some(Schema::from(seconds.build())))
            .description(Some("Seconds until the same request may succeed"));
        response = response.header("Retry-After", header.build());
    }
    response.build()
}
