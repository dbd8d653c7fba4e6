//! What does the API say of itself? An OpenAPI 3.1 document made from the handlers and the shapes,
//! to which this adds what holds for all of them: tokens, and the ways to be refused.

use std::sync::OnceLock;

use axum::Json;
use axum::extract::State;
use serde_json::Value;
use utoipa::openapi::path::{Operation, Parameter};
use utoipa::openapi::schema::{SchemaType, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, InfoBuilder, License, OpenApi, OpenApiBuilder, PathItem, Ref, RefOr, Response, ResponseBuilder,
    Schema, SecurityRequirement,
};

use super::Api;
use super::router::routes;

/// The document that `GET /v1/openapi.json` answers with.
pub fn document() -> Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    // What utoipa makes always serialises.
    DOCUMENT.get_or_init(|| serde_json::to_value(completed(routes().into_openapi())).unwrap_or_default()).clone()
}

/// The document itself; it needs no token.
pub async fn describe(_: State<Api>) -> Json<Value> {
    Json(document())
}

fn completed(handlers: OpenApi) -> OpenApi {
    let info = InfoBuilder::new()
        .title("Relume")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("Upload a WebAssembly component, invoke it, and it finishes."))
        .license(Some(License::builder().name("MIT OR Apache-2.0").identifier(Some("MIT OR Apache-2.0")).build()));
    let mut document = OpenApiBuilder::new()
        .info(info.build())
        .components(Some(handlers.components.unwrap_or_default()))
        .security(Some([bearer(), api_key()]))
        .build();
    for (path, item) in handlers.paths.paths {
        document.paths.paths.insert(format!("/v1{path}"), with_refusals(item));
    }
    if let Some(components) = &mut document.components {
        let http = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("rl_...").build();
        components.add_security_scheme("bearer", SecurityScheme::Http(http));
        let header = ApiKey::Header(ApiKeyValue::new("X-API-Key"));
        components.add_security_scheme("api_key", SecurityScheme::ApiKey(header));
    }
    document
}

fn bearer() -> SecurityRequirement {
    SecurityRequirement::new::<_, [&str; 0], &str>("bearer", [])
}

fn api_key() -> SecurityRequirement {
    SecurityRequirement::new::<_, [&str; 0], &str>("api_key", [])
}

fn with_refusals(mut item: PathItem) -> PathItem {
    let operations =
        [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch].into_iter().flatten();
    for operation in operations {
        operation.parameters.iter_mut().flatten().for_each(forbid_null);
        add_refusals(operation);
    }
    item
}

/// A parameter is there or not: it is never null, which is what an `Option` of a named type says here.
fn forbid_null(parameter: &mut RefOr<Parameter>) {
    let RefOr::T(parameter) = parameter else { return };
    if let Some(RefOr::T(Schema::OneOf(either))) = &parameter.schema
        && let [schema, RefOr::T(Schema::Object(null))] = either.items.as_slice()
        && null.schema_type == SchemaType::Type(Type::Null)
    {
        parameter.schema = Some(schema.clone());
    }
}

/// The ways in which any request may be refused, those of a body where there is one.
fn add_refusals(operation: &mut Operation) {
    let refusals = [
        ("400", "The query or the body cannot be read", true),
        ("401", "No token, or none that is valid", true),
        ("403", "The token has not the scope for this", true),
        ("422", "A field holds something it may not hold; `field` names it", true),
        ("503", "The database cannot be reached at the moment", true),
        ("408", "The body did not arrive in time", operation.request_body.is_some()),
        ("413", "The body is too large", operation.request_body.is_some()),
        ("415", "The body is of another type", operation.request_body.is_some()),
    ];
    for (status, description, applies) in refusals {
        if applies {
            let problem = || problem(description).into();
            operation.responses.responses.entry(status.into()).or_insert_with(problem);
        }
    }
    // The handlers leave to this what is the same everywhere.
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        if response.description.is_empty() {
            response.description = reason(status).into();
        }
        if status.starts_with('4') {
            *response = problem(&response.description);
        }
    }
}

fn reason(status: &str) -> &'static str {
    match status {
        "200" => "What was asked for",
        "201" => "What was made",
        "204" => "It is done",
        "404" => "There is no such thing",
        "409" => "Its state does not allow this; `code` says why",
        "412" => "It was changed since the revision in `If-Match`",
        "429" => "Too many of these at once",
        _ => "Refused",
    }
}

fn problem(description: &str) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    ResponseBuilder::new().description(description).content("application/problem+json", content).build()
}
