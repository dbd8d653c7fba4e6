//! What words, names and the queries of lists may be, for the OpenAPI document: the handlers themselves read them, and
//! say what is wrong with others.

use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// Whether an app or a schedule may start runs.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Activity {
    Active,
    Disabled,
}

/// What a tick does while the run of an earlier one is active.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum OverlapPolicy {
    Allow,
    Skip,
}

/// Where a run is.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum RunStatus {
    Scheduled,
    Pending,
    Starting,
    Running,
    Retrying,
    Exited,
    Crashed,
    Errored,
    Cancelled,
}

/// What a parked run waits for.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum WaitKind {
    StepRetry,
    Sleep,
    Event,
    Child,
}

/// What an entry of a journal is of.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum EntryKind {
    Step,
    Sleep,
    Now,
    Event,
    Child,
    Result,
}

/// How the call of an entry stands.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum EntryStatus {
    Begun,
    Again,
    Waiting,
    Finished,
    Failed,
    Indeterminate,
}

/// The order of a list of apps.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum AppOrder {
    AToZ,
    CreatedAt,
    UpdatedAt,
    MostRecentRun,
}

/// Which apps.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub enum WhichApps {
    Healthy,
    Disabled,
    Running,
    Scheduled,
    WithWarning,
}

/// What a token may do.
#[derive(ToSchema)]
pub enum TokenScope {
    #[schema(rename = "runs:read")]
    RunsRead,
    #[schema(rename = "runs:write")]
    RunsWrite,
    #[schema(rename = "apps:write")]
    AppsWrite,
    #[schema(rename = "admin")]
    Admin,
}

/// How far back from now.
#[derive(ToSchema)]
pub enum Span {
    #[schema(rename = "1h")]
    Hour,
    #[schema(rename = "24h")]
    Day,
    #[schema(rename = "7d")]
    Week,
    #[schema(rename = "30d")]
    Month,
}

/// How a log is told.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum LogFormat {
    Json,
    Text,
}

/// How a public key is told.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum KeyFormat {
    Pkcs1,
    Spki,
}

/// What wrote a line.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Channel {
    Program,
    Setup,
}

/// The only environment.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum OnlyEnvironment {
    Default,
}

/// 1 to 63 lower-case letters, digits and inner hyphens.
#[derive(ToSchema)]
#[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", example = "hello")]
pub struct AppName(pub String);

/// A letter or underscore, then up to 127 of these and digits.
#[derive(ToSchema)]
#[schema(pattern = "^[A-Za-z_][A-Za-z0-9_]{0,127}$", example = "API_KEY")]
pub struct SecretName(pub String);

/// The name of a variable of the program's environment.
#[derive(ToSchema)]
#[schema(pattern = "^[^=\\u0000]+$", example = "COLOUR")]
pub struct ParameterName(pub String);

/// Text without NUL.
#[derive(ToSchema)]
#[schema(pattern = "^[^\\u0000]*$")]
pub struct ParameterValue(pub String);

/// As in `v3`.
#[derive(ToSchema)]
#[schema(pattern = "^v?[1-9][0-9]{0,8}$", example = "v1")]
pub struct VersionName(pub String);

/// The same without the letter.
#[derive(ToSchema)]
#[schema(minimum = 1)]
pub struct VersionNumber(pub u32);

/// What an `ETag` header said, or `*`.
#[derive(ToSchema)]
#[schema(pattern = r#"^(\*|"[0-9]{1,18}")$"#, example = "*")]
pub struct Revision(pub String);

/// Visible ASCII characters without spaces.
#[derive(ToSchema)]
#[schema(pattern = "^[!-~]{1,255}$")]
pub struct IdempotencyKey(pub String);

/// 1 to 256 bytes without control characters.
#[derive(ToSchema)]
#[schema(pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$", max_length = 256, example = "approve")]
pub struct EventName(pub String);

/// Which page of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageParams {
    /// From 1; 0 is the whole list, as far as one answer goes.
    #[param(minimum = 0, maximum = 10000000)]
    pub page: Option<u32>,
    #[param(minimum = 1, maximum = 100)]
    pub page_size: Option<u32>,
}

/// Which runs.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RunsParams {
    /// Only runs with one of these.
    pub status: Option<Vec<RunStatus>>,
    /// Only runs created from then on.
    #[param(format = DateTime)]
    pub start_at: Option<String>,
    /// Only runs created before.
    #[param(format = DateTime)]
    pub end_at: Option<String>,
    /// Instead of `page`: what an answer called `next_cursor`.
    pub cursor: Option<Uuid>,
    /// With `cursor`, or instead of `page` and `page_size`.
    #[param(minimum = 1, maximum = 100)]
    pub limit: Option<u32>,
    /// Only runs with this text in their app, failure or parameters.
    #[param(max_length = 200)]
    pub query: Option<String>,
    pub environment: Option<OnlyEnvironment>,
}
