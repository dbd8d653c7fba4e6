//! What the agent can do for the model. Each use of a tool is a step with the tool's name.

use anyhow::{Context, bail};
use relume::{Result, not_retryable, step};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A tool that the model wants to be used.
#[derive(Deserialize, Serialize)]
pub struct Call {
    pub id: String,
    #[serde(rename = "type", default = "function")]
    kind: String,
    function: Function,
}

#[derive(Deserialize, Serialize)]
struct Function {
    name: String,
    /// JSON, as text.
    arguments: String,
}

fn function() -> String {
    "function".to_owned()
}

/// What the model is told about the tools.
pub fn descriptions() -> Value {
    json!([
        describe("weather", "The temperature in a city, in degrees Celsius", json!({ "city": { "type": "string" } })),
        describe("add", "The sum of numbers", json!({ "numbers": { "type": "array", "items": { "type": "number" } } })),
    ])
}

fn describe(name: &str, description: &str, properties: Value) -> Value {
    let parameters = json!({ "type": "object", "properties": properties });
    json!({ "type": "function", "function": { "name": name, "description": description, "parameters": parameters } })
}

/// Uses the tool, and returns what it says.
pub fn call(call: &Call) -> Result<String> {
    let Function { name, arguments } = &call.function;
    let tool = match name.as_str() {
        "weather" => weather,
        "add" => add,
        _ => bail!("there is no tool `{name}`"),
    };
    println!("{name} {arguments}");
    // The model may have made the arguments up: another try would meet the same ones.
    let run = || tool(&serde_json::from_str(arguments)?);
    Ok(step(name).given(arguments).run(|| run().map_err(not_retryable))?)
}

/// Stands for a weather service: the same city has the same weather.
fn weather(arguments: &Value) -> Result<String> {
    let city = arguments["city"].as_str().context("`city` is missing")?;
    Ok((city.bytes().map(u32::from).sum::<u32>() % 30).to_string())
}

fn add(arguments: &Value) -> Result<String> {
    let numbers = arguments["numbers"].as_array().context("`numbers` is missing")?;
    let numbers = numbers.iter().map(|number| number.as_f64().with_context(|| format!("{number} is no number")));
    Ok(numbers.sum::<Result<f64>>()?.to_string())
}
