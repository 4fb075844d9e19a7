//! Describes routes beside their handlers, as an OpenAPI document.
//!
//! Built with utoipa's types, not with its macros: these repeat a shared parameter at each path,
//! and do not take its limits from constants.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::routing::{get, post};
use pulltrace_core::wire::{openapi, v1};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::path::{
    HttpMethod, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, PathItem, Paths,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{AnyOfBuilder, Type};
use utoipa::openapi::{
    Content, Object, ObjectBuilder, Ref, RefOr, Required, Response, ResponseBuilder,
};

use super::state::ApiState;

/// A parameter, as handlers parse it and as the document describes it.
pub(super) struct Param {
    /// Its key among the document's parameters.
    key: &'static str,
    pub(super) name: &'static str,
    location: ParameterIn,
    doc: fn() -> ParamDoc,
}

/// The description of a parameter.
pub(super) struct ParamDoc {
    schema: Object,
    description: String,
}

impl Param {
    /// A parameter of the query string.
    pub(super) const fn query(
        key: &'static str,
        name: &'static str,
        doc: fn() -> ParamDoc,
    ) -> Self {
        Self { key, name, location: ParameterIn::Query, doc }
    }

    /// A part of the path.
    pub(super) const fn path(key: &'static str, name: &'static str, doc: fn() -> ParamDoc) -> Self {
        Self { key, name, location: ParameterIn::Path, doc }
    }

    pub(super) const fn header(
        key: &'static str,
        name: &'static str,
        doc: fn() -> ParamDoc,
    ) -> Self {
        Self { key, name, location: ParameterIn::Header, doc }
    }

    pub(super) const fn is_in_query(&self) -> bool {
        matches!(self.location, ParameterIn::Query)
    }

    fn describe(&self) -> Value {
        let ParamDoc { schema, description } = (self.doc)();
        let is_path = matches!(self.location, ParameterIn::Path);
        let parameter = ParameterBuilder::new()
            .name(self.name)
            .parameter_in(self.location.clone())
            .required(if is_path { Required::True } else { Required::False })
            .description(Some(description))
            .schema(Some(schema));
        let mut described = json!(parameter.build());
        if let Value::Object(fields) = &mut described
            && !is_path
        {
            // False is the default.
            fields.remove("required");
        }
        described
    }
}

/// Any text.
pub(super) fn text(description: impl Into<String>) -> ParamDoc {
    let schema = ObjectBuilder::new().schema_type(Type::String).build();
    ParamDoc { schema, description: description.into() }
}

/// One of these words; the first is the default.
pub(super) fn choice<T>(words: &[(&'static str, T)], description: &str) -> ParamDoc {
    let words = words.iter().map(|(word, _)| *word);
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .default(words.clone().next().map(Into::into))
        .enum_values(Some(words))
        .build();
    ParamDoc { schema, description: description.to_owned() }
}

/// A number from 1 to `most`.
pub(super) fn number(most: usize, default: usize, description: &str) -> ParamDoc {
    let schema = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(1))
        .maximum(Some(most))
        .default(Some(default.into()))
        .build();
    ParamDoc { schema, description: description.to_owned() }
}

/// The description of a route.
pub(super) struct Endpoint {
    summary: &'static str,
    params: Vec<&'static Param>,
    operation: OperationBuilder,
}

impl Endpoint {
    pub(super) fn new(id: &str, summary: &'static str) -> Self {
        let operation = OperationBuilder::new().operation_id(Some(id)).summary(Some(summary));
        Self { summary, params: Vec::new(), operation }
    }

    pub(super) fn description(mut self, text: &str) -> Self {
        self.operation = self.operation.description(Some(text));
        self
    }

    pub(super) fn params(mut self, params: &[&'static Param]) -> Self {
        self.params = params.to_vec();
        self.operation = self.operation.parameters(Some(Vec::<Parameter>::new()));
        for param in params {
            let location = format!("#/components/parameters/{}", param.key);
            self.operation = self.operation.parameter_ref(Ref::new(location));
        }
        self
    }

    pub(super) fn json_body<T: ToSchema>(mut self) -> Self {
        let body = RequestBodyBuilder::new()
            .required(Some(Required::True))
            .content("application/json", Content::new(Some(reference::<T>())));
        self.operation = self.operation.request_body(Some(body.build()));
        self
    }

    pub(super) fn response(mut self, status: &str, response: impl Into<RefOr<Response>>) -> Self {
        self.operation = self.operation.response(status, response);
        self
    }

    /// Any other response is a problem.
    pub(super) fn or_problem(self) -> Self {
        self.response("default", Ref::from_response_name("Problem"))
    }

    /// Responds with a `T` or a problem.
    pub(super) fn json<T: ToSchema>(self) -> Self {
        let response = response(self.summary).content("application/json", content::<T>());
        self.response("200", response).or_problem()
    }
}

pub(super) fn response(description: &str) -> ResponseBuilder {
    ResponseBuilder::new().description(description)
}

pub(super) fn content<T: ToSchema>() -> Content {
    Content::new(Some(reference::<T>()))
}

/// An `A` or a `B`.
pub(super) fn content_any_of<A: ToSchema, B: ToSchema>() -> Content {
    Content::new(Some(AnyOfBuilder::new().item(reference::<A>()).item(reference::<B>())))
}

fn reference<T: ToSchema>() -> Ref {
    Ref::from_schema_name(T::name())
}

/// Routes with their descriptions.
#[derive(Default)]
pub(super) struct Routes {
    pub(super) router: Router<Arc<ApiState>>,
    paths: Paths,
    params: BTreeMap<&'static str, &'static Param>,
}

impl Routes {
    pub(super) fn get<T: 'static>(
        mut self,
        path: &str,
        handler: impl Handler<T, Arc<ApiState>>,
        endpoint: Endpoint,
    ) -> Self {
        self.router = self.router.route(path, get(handler));
        self.describe(path, HttpMethod::Get, endpoint)
    }

    pub(super) fn post<T: 'static>(
        mut self,
        path: &str,
        handler: impl Handler<T, Arc<ApiState>>,
        endpoint: Endpoint,
    ) -> Self {
        self.router = self.router.route(path, post(handler));
        self.describe(path, HttpMethod::Post, endpoint)
    }

    fn describe(mut self, path: &str, method: HttpMethod, endpoint: Endpoint) -> Self {
        self.params.extend(endpoint.params.iter().map(|param| (param.key, *param)));
        let item = PathItem::new(method, endpoint.operation);
        self.paths.paths.insert(path.to_owned(), item);
        self
    }

    pub(super) fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.paths.merge(other.paths);
        self.params.extend(other.params);
        self
    }

    /// Returns the OpenAPI 3.1 document as JSON.
    pub(super) fn document(&self) -> String {
        let params = self.params.iter().map(|(key, param)| (*key, param.describe()));
        let problem = response("The request was rejected or failed.")
            .content("application/problem+json", content::<v1::Problem>());
        let document = json!({
            "openapi": "3.1.0",
            "info": {
                "title": "pulltrace",
                "version": v1::SCHEMA_VERSION,
                "description": "Live status of all image pulls in a cluster. Within version 1, fields and enum \
                    values are only added: ignore unknown ones. Unknown values are absent, never 0.",
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "security": [{}, {"bearer": []}],
            "paths": self.paths,
            "components": {
                "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
                "parameters": params.collect::<BTreeMap<_, _>>(),
                "responses": {"Problem": problem.build()},
                "schemas": openapi::schemas(),
            },
        });
        // The alternate form is indented.
        format!("{document:#}\n")
    }
}
