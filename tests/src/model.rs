//! A stand-in for a language model: an OpenAI-style chat service on a loopback port, which is out of order, busy and
//! slow as it is told, and writes down what it is asked.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

/// What may be wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Status 500.
    Broken,
    /// Status 429, and `Retry-After: 1`.
    Busy,
    /// It is right, and takes so long.
    Slow(Duration),
}

/// A question that came in.
#[derive(Debug, Clone)]
pub struct Question {
    pub idempotency_key: Option<String>,
    pub body: Value,
    pub asked_at: Instant,
    pub trouble: Option<Trouble>,
}

/// A running model. It closes when dropped.
///
/// Asked how warm it is, it calls the tool `weather` for Oslo and Rome, then `add` for what it was told, and says
/// that sum.
pub struct Model {
    address: SocketAddr,
    state: Arc<Mutex<Conversation>>,
    /// Dropped, it closes the model.
    _open: oneshot::Sender<()>,
}

#[derive(Default)]
struct Conversation {
    troubles: VecDeque<Trouble>,
    questions: Vec<Question>,
}

impl Model {
    /// Opens it on a free port of 127.0.0.1. The first questions meet these troubles, one each.
    pub async fn start(troubles: impl IntoIterator<Item = Trouble>) -> Model {
        let conversation = Conversation { troubles: troubles.into_iter().collect(), questions: vec![] };
        let state = Arc::new(Mutex::new(conversation));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port is free");
        let address = listener.local_addr().expect("it is bound");
        let (open, closed) = oneshot::channel();
        let app = axum::Router::new().fallback(answer).with_state(state.clone());
        tokio::spawn(async move {
            tokio::select! {
                served = async { axum::serve(listener, app).await } => served.expect("the model serves"),
                _ = closed => {}
            }
        });
        Model { address, state, _open: open }
    }

    /// Where to ask.
    pub fn url(&self) -> String {
        format!("http://{}/v1/chat/completions", self.address)
    }

    /// What it was asked, the first first.
    pub fn questions(&self) -> Vec<Question> {
        lock(&self.state).questions.clone()
    }
}

fn lock(state: &Mutex<Conversation>) -> MutexGuard<'_, Conversation> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(
    State(state): State<Arc<Mutex<Conversation>>>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let reply = Json(json!({"choices": [{"message": reply(&body["messages"])}]}));
    let idempotency_key = headers.get("idempotency-key").and_then(|key| key.to_str().ok()).map(str::to_owned);
    let trouble = {
        let mut state = lock(&state);
        let trouble = state.troubles.pop_front();
        state.questions.push(Question { idempotency_key, body, asked_at: Instant::now(), trouble });
        trouble
    };
    match trouble {
        Some(Trouble::Broken) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Some(Trouble::Busy) => (StatusCode::TOO_MANY_REQUESTS, [("Retry-After", "1")]).into_response(),
        Some(Trouble::Slow(wait)) => {
            sleep(wait).await;
            reply.into_response()
        }
        None => reply.into_response(),
    }
}

/// What it says to a conversation: the same to the same.
fn reply(messages: &Value) -> Value {
    let messages = messages.as_array().map(Vec::as_slice).unwrap_or_default();
    let results: Vec<_> =
        messages.iter().filter(|m| m["role"] == "tool").filter_map(|m| m["content"].as_str()).collect();
    let call = |id: &str, name: &str, arguments: Value| json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments.to_string()}});
    let calls = match results[..] {
        [] => json!([call("1", "weather", json!({"city": "Oslo"})), call("2", "weather", json!({"city": "Rome"}))]),
        [oslo, rome] => {
            let numbers: Vec<f64> = [oslo, rome].iter().filter_map(|text| text.parse().ok()).collect();
            json!([call("3", "add", json!({"numbers": numbers}))])
        }
        _ => {
            let sum = results.last().copied().unwrap_or_default();
            return json!({"role": "assistant", "content": format!("Together {sum} degrees.")});
        }
    };
    json!({"role": "assistant", "content": null, "tool_calls": calls})
}
