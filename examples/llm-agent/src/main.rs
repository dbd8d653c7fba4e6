//! An agent: asks a language model, uses the tools that the model calls for, tells it their results, and goes on until
//! there is an answer. The input is `{"question": "How warm is it in Oslo and Rome together?"}`.
//!
//! `MODEL_URL` is where an OpenAI-style chat model listens, `MODEL` its name, `MODEL_KEY` its key if it needs one. Each
//! call of the model and each use of a tool is a step. A model that is busy, slow or broken is asked again, at the time
//! that its `Retry-After` names; an agent that dies in the middle goes on with the answers it has.

use std::env;

use anyhow::{Context, bail};
use relume::http::{self, StatusCode};
use relume::time::{minutes, secs};
use relume::{Result, not_retryable, step};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

mod tools;

/// How often the model may be called before the agent gives up: it may go round in circles.
const MAX_MODEL_CALLS: u32 = 12;

#[derive(Deserialize)]
struct Task {
    question: String,
}

#[derive(Serialize)]
struct Report {
    answer: String,
    model_calls: u32,
    tool_calls: usize,
}

/// What the model says.
#[derive(Deserialize, Serialize)]
struct Message {
    role: String,
    content: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<tools::Call>,
}

#[relume::main]
fn main(task: Task) -> Result<Report> {
    let mut messages = vec![json!({ "role": "user", "content": task.question })];
    let mut tool_calls = 0;
    for model_calls in 1..=MAX_MODEL_CALLS {
        let reply = step("model").attempts(8).backoff(secs(1)..secs(60)).run(|| ask_model(&messages))?;
        if reply.tool_calls.is_empty() {
            return Ok(Report { answer: reply.content.unwrap_or_default(), model_calls, tool_calls });
        }
        messages.push(json!(reply));
        for call in &reply.tool_calls {
            // The model learns of a failure, too: it may try something else.
            let result = tools::call(call).unwrap_or_else(|error| format!("error: {error:#}"));
            messages.push(json!({ "role": "tool", "tool_call_id": call.id, "content": result }));
            tool_calls += 1;
        }
    }
    bail!("the model has no answer after {MAX_MODEL_CALLS} calls")
}

/// Sends the model what was said so far, and returns what it says to that.
fn ask_model(messages: &[Value]) -> Result<Message> {
    let url = env::var("MODEL_URL").context("where is the model? Set the parameter MODEL_URL")?;
    let model = env::var("MODEL").unwrap_or_else(|_| "default".to_owned());
    let body = json!({ "model": model, "messages": messages, "tools": tools::descriptions() });
    let mut request = http::post(url).timeout(minutes(2)).json(&body)?;
    if let Ok(key) = env::var("MODEL_KEY") {
        request = request.header("Authorization", format!("Bearer {key}"));
    }
    let answer = request.send()?.error_for_status().map_err(|error| match error.status() {
        // A busy model's `Retry-After` is heeded; a request that is wrong stays so.
        Some(status) if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => not_retryable(error),
        _ => error.into(),
    })?;
    let answer: Answer = answer.json()?;
    Ok(answer.choices.into_iter().next().context("the model's answer is empty")?.message)
}

#[derive(Deserialize)]
struct Answer {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
}
