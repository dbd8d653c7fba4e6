//! The shapes of schedules.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Pages, Parameter, time, words};
use crate::store;

/// A parameter as it is sent. Tower's clients send the other two fields, which say nothing here.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object of `name` and `value`")]
pub struct ParameterBody {
    #[schema(value_type = words::ParameterName)]
    pub name: String,
    #[schema(value_type = words::ParameterValue)]
    pub value: String,
    #[serde(default, skip_serializing)]
    pub hidden: bool,
    #[serde(default, skip_serializing)]
    pub is_override: Option<bool>,
}

/// `POST /v1/schedules`.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateSchedule {
    #[schema(nullable = false, required = true, value_type = words::AppName)]
    pub app_name: Option<String>,
    /// Five fields, or six with seconds first; `@daily` and the like too.
    #[schema(nullable = false, required = true)]
    pub cron: Option<String>,
    /// Unique; made from the app's name unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 100, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$")]
    pub name: Option<String>,
    /// `allow` or `skip`: what a tick does while the run of an earlier one is active. `allow` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<words::OverlapPolicy>)]
    pub overlap_policy: Option<String>,
    #[serde(default)]
    pub parameters: Vec<ParameterBody>,
    /// `active` or `disabled`; `active` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<words::Activity>)]
    pub status: Option<String>,
    /// As in `Europe/London`; `UTC` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// `default`, the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<words::OnlyEnvironment>)]
    pub environment: Option<String>,
    /// Null: a schedule runs the app's active version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(ignore)]
    pub app_version: Option<String>,
    #[serde(default, rename = "$schema", skip_serializing)]
    #[schema(ignore)]
    pub schema: Option<String>,
}

/// `PUT /v1/schedules/{id_or_name}`: what is absent or null stays.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateSchedule {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 100, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<words::OverlapPolicy>)]
    pub overlap_policy: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Vec<ParameterBody>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<words::Activity>)]
    pub status: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// `default`, the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<words::OnlyEnvironment>)]
    pub environment: Option<String>,
    /// Null: a schedule runs the app's active version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(ignore)]
    pub app_version: Option<String>,
    #[serde(default, rename = "$schema", skip_serializing)]
    #[schema(ignore)]
    pub schema: Option<String>,
}

/// A schedule.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Schedule {
    pub id: Uuid,
    pub name: String,
    pub app_name: String,
    /// `active` or `disabled`.
    #[schema(value_type = words::Activity)]
    pub app_status: String,
    pub cron: String,
    pub timezone: String,
    pub environment: String,
    /// `allow` or `skip`.
    #[schema(value_type = words::OverlapPolicy)]
    pub overlap_policy: String,
    /// `active` or `disabled`.
    #[schema(value_type = words::Activity)]
    pub status: String,
    pub parameters: Vec<Parameter>,
    #[schema(format = DateTime)]
    pub created_at: String,
    #[schema(format = DateTime)]
    pub updated_at: String,
    /// Null while it is disabled.
    #[schema(required = true, format = DateTime)]
    pub next_run_at: Option<String>,
    #[schema(required = true, format = DateTime)]
    pub last_run_at: Option<String>,
}

impl From<store::Schedule> for Schedule {
    fn from(schedule: store::Schedule) -> Schedule {
        let settings = schedule.settings;
        let parameters = settings.parameters.into_iter().map(|(name, value)| Parameter { name, value });
        Schedule {
            id: schedule.schedule_id,
            name: schedule.name,
            app_name: schedule.app,
            app_status: active_unless(schedule.app_is_disabled),
            cron: settings.cron,
            timezone: settings.timezone,
            environment: "default".into(),
            overlap_policy: if settings.skips_overlap { "skip" } else { "allow" }.into(),
            status: active_unless(settings.is_paused),
            parameters: parameters.collect(),
            created_at: time(schedule.created_at),
            updated_at: time(schedule.updated_at),
            next_run_at: (!settings.is_paused).then(|| time(schedule.next_tick_at)),
            last_run_at: schedule.last_tick_at.map(time),
        }
    }
}

/// The status of what can be disabled.
pub fn active_unless(disabled: bool) -> String {
    if disabled { "disabled" } else { "active" }.into()
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ScheduleOnly {
    pub schedule: Schedule,
}

/// Schedules that were changed.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ScheduleBatch {
    pub schedules: Vec<Schedule>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ScheduleList {
    pub schedules: Vec<Schedule>,
    pub pages: Pages,
}

/// Schedules by their ids or names.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleIds {
    /// 1 to 100.
    #[schema(nullable = false, required = true, min_items = 1, max_items = 100)]
    pub ids: Option<Vec<String>>,
    #[serde(default, rename = "$schema", skip_serializing)]
    #[schema(ignore)]
    pub schema: Option<String>,
}
