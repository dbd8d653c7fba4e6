//! What comes of requests that are made by hand, as no library would make them? One after the other, or all begun before
//! the first answer is read. The output says of each what was refused, or the answer's status and length.

use serde::Deserialize;
use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingResponse, Method, OutgoingBody, OutgoingRequest, Scheme,
    http_error_code,
};
use wasip2::io::streams::StreamError;

#[derive(Deserialize)]
struct Asks {
    asks: Vec<Ask>,
    #[serde(default)]
    at_once: bool,
}

#[derive(Deserialize)]
#[serde(default)]
struct Ask {
    scheme: String,
    authority: String,
    path: String,
    method: String,
    headers: Vec<(String, String)>,
    body_bytes: usize,
}

impl Default for Ask {
    fn default() -> Ask {
        let [scheme, path, method] = ["http", "/", "GET"].map(str::to_owned);
        Ask { scheme, authority: String::new(), path, method, headers: Vec::new(), body_bytes: 0 }
    }
}

#[relume::main]
fn main(input: Asks) -> relume::Result<Vec<String>> {
    Ok(relume::step("fetch").attempts(1).run(|| anyhow::Ok(all(&input)))?)
}

fn all(input: &Asks) -> Vec<String> {
    if input.at_once {
        let begun: Vec<_> = input.asks.iter().map(begin).collect();
        return begun.into_iter().map(|begun| begun.and_then(finish).unwrap_or_else(|e| e)).collect();
    }
    input.asks.iter().map(|ask| begin(ask).and_then(finish).unwrap_or_else(|e| e)).collect()
}

fn begin(ask: &Ask) -> Result<FutureIncomingResponse, String> {
    let headers = Fields::new();
    for (name, value) in &ask.headers {
        headers.append(name, value.as_bytes()).map_err(|e| format!("{e:?}"))?;
    }
    let request = OutgoingRequest::new(headers);
    let scheme = match ask.scheme.as_str() {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    request.set_scheme(Some(&scheme)).map_err(|()| "scheme".to_owned())?;
    request.set_authority(Some(&ask.authority)).map_err(|()| "authority".to_owned())?;
    request.set_path_with_query(Some(&ask.path)).map_err(|()| "path".to_owned())?;
    request.set_method(&Method::Other(ask.method.clone())).map_err(|()| "method".to_owned())?;
    let body = request.body().map_err(|()| "body".to_owned())?;
    let answer = handle(request, None).map_err(words)?;
    if ask.body_bytes > 0 {
        let stream = body.write().map_err(|()| "body".to_owned())?;
        let mut left = ask.body_bytes;
        while left > 0 && stream.blocking_write_and_flush(&vec![b'x'; left.min(4096)]).is_ok() {
            left -= left.min(4096);
        }
    }
    // A host that refuses the request takes no body.
    let _ = OutgoingBody::finish(body, None);
    Ok(answer)
}

fn finish(answer: FutureIncomingResponse) -> Result<String, String> {
    loop {
        answer.subscribe().block();
        if let Some(result) = answer.get() {
            return read(result.expect("it is taken once").map_err(words)?);
        }
    }
}

fn read(response: IncomingResponse) -> Result<String, String> {
    let status = response.status();
    if let Some(location) = response.headers().get("location").first() {
        return Ok(format!("{status} to {}", String::from_utf8_lossy(location)));
    }
    let body = response.consume().expect("it is taken once");
    let stream = body.stream().expect("it is taken once");
    let mut bytes = 0;
    loop {
        match stream.blocking_read(64 * 1024) {
            Ok(piece) => bytes += piece.len(),
            Err(StreamError::Closed) => return Ok(format!("{status} with {bytes} bytes")),
            Err(StreamError::LastOperationFailed(error)) => {
                let code = http_error_code(&error).map_or_else(|| error.to_debug_string(), words);
                return Err(format!("{status}, then {code}"));
            }
        }
    }
}

fn words(code: ErrorCode) -> String {
    format!("{code:?}").replace("ErrorCode::", "")
}
