//! Signing in: state, start, answers, session import, cancel, in the words of the native API.
//! The flow itself is the supervisor's.

use super::super::Api;
use super::super::body::OptionalJsonBody;
use super::super::codes;
use super::super::envelope::{Answer, Reply};
use super::super::error::{ApiError, Operation};
use super::super::fields::Fields;
use super::super::openapi::Doc;
use super::super::routes::Routes;
use super::account_request::method_for;
use super::at_account::AtAccount;
use super::proxy;
use super::session_view::AccountSession;
use crate::domain::WorkspaceId;
use crate::domain::account::{Account, AuthStatus};
use crate::domain::sign_in::{Answer as Input, Flow, Question, Step};
use crate::supervisor::control::{AccountChange, ProviderInfo, SignInCall};
use axum::extract::{FromRequest, FromRequestParts, Request};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde_json::{Map, Value, json};
use std::sync::Arc;

const READ: Operation = Operation::of_account(codes::GET_AUTH_STATE_FAILED);
const ACT: Operation = Operation::of_runtime(codes::RUN_AUTH_ACTION_FAILED);

/// Longest input of a person in characters; a body has at most 256 KiB anyway.
const INPUT: usize = 256 * 1024;

pub fn routes() -> Routes {
    // The older spellings stand below `auth/session`; there the method tells reading the state
    // from importing a session.
    let state_doc = Doc::new("getAccountAuthState", "Read how the sign-in stands")
        .ok::<AccountSession>()
        .fails(READ.reads());
    let import_doc = action_doc::<SessionImport>(
        "importAccountAuthSession",
        "Sign in with a session or a token from elsewhere",
    );
    let routes = Routes::new()
        .get("/v1/accounts/{account_id}/auth", state)
        .doc(state_doc.clone())
        .get("/v1/accounts/{account_id}/auth/session", state)
        .doc(state_doc.older())
        .post("/v1/accounts/{account_id}/auth/session", import)
        .doc(import_doc.clone())
        .post("/v1/accounts/{account_id}/auth/session/import", import)
        .doc(import_doc.older());
    let routes = [("auth", false), ("auth/session", true)].into_iter().fold(
        routes,
        |routes, (base, older)| {
            let path = |action: &str| format!("/v1/accounts/{{account_id}}/{base}/{action}");
            let of = |doc: Doc| if older { doc.older() } else { doc };
            let [starts, starts_qr, checks, codes, passwords, cancels] = action_docs().map(of);
            routes
                .post(&path("start"), start)
                .doc(starts)
                .post(&path("qr/start"), start_qr)
                .doc(starts_qr)
                .post(&path("qr/check"), check)
                .doc(checks)
                .post(&path("code"), code)
                .doc(codes)
                .post(&path("password"), password)
                .doc(passwords)
                .post(&path("cancel"), cancel)
                .doc(cancels)
        },
    );
    routes.about("Account Auth", "Signing an account in at its channel.")
}

fn action_doc<B: JsonSchema>(id: &'static str, summary: &'static str) -> Doc {
    Doc::new(id, summary)
        .optional_body::<B>()
        .ok::<AccountSession>()
        .fails(ACT.acts())
}

fn action_docs() -> [Doc; 6] {
    [
        action_doc::<SignInStart>("startAccountAuth", "Begin by the account's `auth_mode`"),
        action_doc::<SignInStart>("startAccountQrAuth", "Begin by QR code, or get a fresh one"),
        action_doc::<SignInStep>("checkAccountQrAuth", "Read how the sign-in stands"),
        action_doc::<CodeAnswer>("submitAccountAuthCode", "Give the code that the person got"),
        action_doc::<PasswordAnswer>("submitAccountAuthPassword", "Give the second factor"),
        action_doc::<SignInStep>(
            "cancelAccountAuth",
            "Drop the sign-in; of a signed-in account, sign out",
        ),
    ]
}

/// Older clients nest everything under `params`; what stands at the top wins.
#[derive(JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "only its schema is used")]
struct Nested {
    params: Option<Map<String, Value>>,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct SignInStep {
    #[serde(flatten)]
    nested: Nested,
}

/// Beside these, the inputs that the sign-in method names.
#[derive(JsonSchema)]
#[schemars(example = json!({"phone": "15550100"}))]
#[expect(dead_code, reason = "only its schema is used")]
struct SignInStart {
    #[serde(flatten)]
    nested: Nested,
    proxy: Option<proxy::ProxyRequest>,
}

/// The answers to what the sign-in asks for, each under its question's `name`.
#[derive(JsonSchema)]
#[schemars(example = json!({"code": "123456"}))]
#[expect(dead_code, reason = "only its schema is used")]
struct CodeAnswer {
    #[serde(flatten)]
    nested: Nested,
    code: Option<String>,
}

#[derive(JsonSchema)]
#[schemars(example = json!({"password": "correct horse battery staple"}))]
#[expect(dead_code, reason = "only its schema is used")]
struct PasswordAnswer {
    #[serde(flatten)]
    nested: Nested,
    password: Option<String>,
}

/// One of the three.
#[derive(JsonSchema)]
#[schemars(example = json!({"token": "token-example"}))]
#[expect(dead_code, reason = "only its schema is used")]
struct SessionImport {
    #[serde(flatten)]
    nested: Nested,
    session: Option<String>,
    /// A `data:` address with base64 content.
    session_url: Option<String>,
    token: Option<String>,
}

async fn state(at: AtAccount) -> Answer {
    let account = at.account(&READ).await?;
    let flow = at.api.control.flow(&account.id);
    Reply::ok(&AccountSession::new(&account, flow.as_ref()))
}

/// What every action needs: the account, its provider, and the body's fields at the top.
struct Action {
    api: Api,
    workspace: WorkspaceId,
    account: Account,
    info: Arc<ProviderInfo>,
    body: Map<String, Value>,
}

impl FromRequest<Api> for Action {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &Api) -> Result<Self, ApiError> {
        let (mut parts, body) = request.into_parts();
        let at = AtAccount::from_request_parts(&mut parts, state).await?;
        let request = Request::from_parts(parts, body);
        let OptionalJsonBody(body) = OptionalJsonBody::from_request(request, state).await?;
        let body = super::without_params(body)?;
        let account = at.account(&ACT).await?;
        let AtAccount { api, workspace, .. } = at;
        let info = api.control.learn_provider(&account.provider).await;
        let info = info.ok_or_else(|| {
            ApiError::new(
                codes::PROVIDER_ADAPTER_NOT_FOUND,
                format!(
                    "provider `{}` is not installed on this host",
                    account.provider
                ),
            )
        })?;
        if !info.can_sign_in {
            return Err(ApiError::new(
                codes::UNSUPPORTED_ACTION,
                "this provider has no sign-in",
            ));
        }
        Ok(Self {
            api,
            workspace,
            account,
            info,
            body,
        })
    }
}

impl Action {
    fn flow(&self) -> Option<Flow> {
        self.api.control.flow(&self.account.id)
    }

    fn refuse_authorized(&self) -> Result<(), ApiError> {
        match self.account.auth_status {
            AuthStatus::Authorized => Err(ApiError::new(
                codes::ACCOUNT_ALREADY_AUTHORIZED,
                "the account is signed in already; cancel first to sign in anew",
            )),
            _ => Ok(()),
        }
    }

    /// Hands the call to the provider, waits for what follows from it, and shows the state.
    async fn call(self, call: SignInCall) -> Answer {
        let flow = self
            .api
            .control
            .sign_in(&self.account.id, call, self.api.settings.sign_in_wait)
            .await
            .map_err(|refusal| ACT.refusal(refusal))?;
        let account =
            super::account(&self.api, &ACT, &self.workspace, self.account.id.as_str()).await?;
        Reply::ok(&AccountSession::new(&account, flow.as_ref()))
    }

    async fn begin(self, method: &str, mut answers: Vec<Input>) -> Answer {
        self.refuse_authorized()?;
        let proxy = proxy::read(&Fields::top(&self.body))?;
        let inputs = inputs_of(&self.info, method);
        for (name, value) in self.given(&answers, inputs.as_deref())? {
            answers.push(Input {
                name,
                value: value.into(),
            });
        }
        if let Some(proxy) = proxy {
            let change = AccountChange {
                proxy: Some(proxy),
                ..AccountChange::default()
            };
            self.api
                .control
                .update_account(&self.workspace, &self.account.id, change)
                .await
                .map_err(|refusal| ACT.refusal(refusal))?;
        }
        let method = method.to_owned();
        self.call(SignInCall::Begin { method, answers }).await
    }

    /// Texts at the top of the body, then those of the account's configuration that the body
    /// does not have (so that a phone number is given once, with the account). Where the method
    /// names its inputs, only those; where it does not, nothing of the configuration.
    fn given(
        &self,
        taken: &[Input],
        inputs: Option<&[String]>,
    ) -> Result<Vec<(String, Vec<u8>)>, ApiError> {
        const NO_INPUTS: [&str; 4] = ["proxy", "proxy_config", "session_url", "auth_mode"];
        let mut given: Vec<(String, Vec<u8>)> = Vec::new();
        let fields = Fields::top(&self.body);
        for (name, value) in &self.body {
            let known = NO_INPUTS.contains(&name.as_str())
                || taken.iter().any(|answer| answer.name == *name);
            let wanted = inputs.is_none_or(|inputs| inputs.contains(name));
            if wanted
                && !known
                && (inputs.is_some() || value.is_string())
                && let Some(text) = fields.text(name, INPUT)?
            {
                given.push((name.clone(), text.as_bytes().to_vec()));
            }
        }
        for (name, value) in self.account.config.as_object().into_iter().flatten() {
            let known = given.iter().any(|(given, _)| given == name)
                || taken.iter().any(|answer| answer.name == *name);
            let wanted = inputs.is_some_and(|inputs| inputs.contains(name));
            if let Some(text) = value.as_str()
                && wanted
                && !known
                && !text.is_empty()
            {
                given.push((name.clone(), text.as_bytes().to_vec()));
            }
        }
        Ok(given)
    }

    /// The answers to what the flow asks. `kind`: what this route is for, and the key that
    /// stands for the question of this kind.
    async fn submit(self, kind: &'static str) -> Answer {
        let flow = self.flow().filter(|flow| !flow.is_over());
        let Some(flow) = flow else {
            self.refuse_authorized()?;
            return Err(ApiError::new(
                codes::UNSUPPORTED_ACTION,
                "no sign-in waits for an answer; start one first",
            ));
        };
        let fields = Fields::top(&self.body);
        let questions: &[Question] = match &flow.step {
            Step::Ask { questions, .. } => questions,
            _ => &[],
        };
        let mut answers = Vec::new();
        for question in questions {
            if let Some(text) = fields.text(&question.name, INPUT)? {
                answers.push(Input {
                    name: question.name.clone(),
                    value: text.as_bytes().into(),
                });
            }
        }
        if answers.is_empty() {
            // The route's own key stands for the one question of its kind, or for the only one.
            let text = fields.required_text(kind, INPUT)?;
            let name = questions
                .iter()
                .find(|question| question.kind == kind)
                .or_else(|| questions.first().filter(|_| questions.len() == 1))
                .map_or(kind, |question| &question.name);
            answers.push(Input {
                name: name.to_owned(),
                value: text.as_bytes().into(),
            });
        }
        if let Some(missing) = questions.iter().find(|question| {
            question.required && !answers.iter().any(|answer| answer.name == question.name)
        }) {
            return Err(fields.error(&missing.name, "is required (a string)"));
        }
        self.call(SignInCall::Submit { answers }).await
    }
}

/// The properties of a method's JSON Schema of inputs; none when it has no schema.
fn inputs_of(info: &ProviderInfo, method: &str) -> Option<Vec<String>> {
    info.sign_in_methods
        .iter()
        .find(|(name, _, _)| name == method)
        .and_then(|(_, _, inputs)| inputs.as_ref()?.get("properties")?.as_object())
        .map(|properties| properties.keys().cloned().collect())
}

fn unsupported_mode(mode: &str) -> ApiError {
    ApiError::new(
        codes::UNSUPPORTED_PROVIDER_AUTH_MODE,
        format!("this provider has no sign-in of the kind `{mode}`"),
    )
}

async fn start(action: Action) -> Answer {
    let mode = action.account.auth_mode.clone();
    let method = match (
        method_for(&action.info, &mode),
        action.info.sign_in_methods.as_slice(),
    ) {
        (Some(method), _) => method.to_owned(),
        (None, [(only, _, _)]) => only.clone(),
        _ => return Err(unsupported_mode(&mode)),
    };
    action.begin(&method, Vec::new()).await
}

async fn start_qr(action: Action) -> Answer {
    let method = method_for(&action.info, "qrcode")
        .ok_or_else(|| unsupported_mode("qrcode"))?
        .to_owned();
    action.begin(&method, Vec::new()).await
}

async fn check(action: Action) -> Answer {
    Reply::ok(&AccountSession::new(
        &action.account,
        action.flow().as_ref(),
    ))
}

async fn code(action: Action) -> Answer {
    action.submit("code").await
}

async fn password(action: Action) -> Answer {
    action.submit("password").await
}

/// A session or a token that the client has already.
async fn import(action: Action) -> Answer {
    action.refuse_authorized()?;
    let fields = Fields::top(&action.body);
    let (key, value) = if let Some(text) = fields.text("session", INPUT)? {
        ("session", text.as_bytes().to_vec())
    } else if let Some(text) = fields.text("token", INPUT)? {
        ("token", text.as_bytes().to_vec())
    } else if let Some(text) = fields.text("session_url", INPUT)? {
        ("session", from_address(text)?)
    } else {
        return Err(fields.error(
            "session",
            "is required (a string; or session_url, or token)",
        ));
    };
    let method = [key, "session"]
        .into_iter()
        .find_map(|mode| method_for(&action.info, mode))
        .ok_or_else(|| unsupported_mode(key))?
        .to_owned();
    let answers = vec![Input {
        name: key.to_owned(),
        value: value.into(),
    }];
    action.begin(&method, answers).await
}

/// The bytes of a `data:` address. Fetching others comes with the media store.
fn from_address(address: &str) -> Result<Vec<u8>, ApiError> {
    let wrong = |rule: &str| Err(ApiError::field("session_url", rule));
    let Some(rest) = address.strip_prefix("data:") else {
        return wrong(
            "this host does not fetch addresses yet; send the session itself as `session`, or \
             as a data: address",
        );
    };
    let data = rest
        .split_once(',')
        .filter(|(kind, _)| kind.ends_with(";base64"))
        .and_then(|(_, data)| STANDARD.decode(data).ok());
    match data {
        Some(data) if !data.is_empty() => Ok(data),
        _ => wrong("must be a data: address with base64 content"),
    }
}

/// Drops a flow that waits. Of an account that is signed in, ends the session, so that it can be
/// signed in anew.
async fn cancel(action: Action) -> Answer {
    let flow = action.flow();
    let running = flow.as_ref().is_some_and(|flow| !flow.is_over());
    if running || action.account.auth_status == AuthStatus::Failed {
        action.call(SignInCall::Cancel).await
    } else if action.account.auth_status == AuthStatus::Authorized {
        action.call(SignInCall::SignOut).await
    } else {
        Reply::ok(&AccountSession::new(&action.account, None))
    }
}
