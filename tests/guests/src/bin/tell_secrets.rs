//! Where does a secret show, if a program does its worst? It tells all of `S01` and on in the way that the input names.

use std::io::Write;

use relume::{Result, http, step};

#[derive(serde::Deserialize)]
struct Input {
    how: String,
    /// Which secret, where there is room for one.
    #[serde(default)]
    which: usize,
    #[serde(default)]
    url: String,
}

#[relume::main]
fn main(Input { how, which, url }: Input) -> Result<serde_json::Value> {
    let all: Vec<String> = (1..).map_while(|n| std::env::var(format!("S{n:02}")).ok()).collect();
    let one = all[which].clone();
    let text = all.join(" ");
    match how.as_str() {
        "print" => all.iter().for_each(|secret| print(secret)),
        "pieces" => {
            for piece in text.as_bytes().chunks(3) {
                std::io::stdout().write_all(piece)?;
                std::io::stdout().flush()?;
            }
        }
        "cut" => {
            for offset in 0..one.len() + 2 {
                println!("{}{one}", "x".repeat((16 << 10) - offset));
            }
        }
        "panic" => panic!("{text}"),
        "panic_debug" => panic!("{all:?}"),
        "error" => anyhow::bail!("{text}"),
        "exit" => {
            eprintln!("{text}");
            relume::run::exit(3);
        }
        "result" => _ = step("tell").run(|| Result::<_>::Ok(one.clone()))?,
        "result_base64" => _ = step("tell").run(|| Result::<_>::Ok(base64(one.as_bytes())))?,
        "name" => step(one).run(|| Result::<_>::Ok(()))?,
        "given" => step("tell").given(&one).run(|| Result::<_>::Ok(()))?,
        "step_error" => step("tell").attempts(2).immediate().run(|| -> Result<()> { anyhow::bail!("{text}") })?,
        "event" => _ = relume::event(one).timeout(relume::time::millis(1)).wait::<()>(),
        "child" => _ = relume::app(one).start::<()>(&())?,
        "child_input" => _ = relume::app("tell-secrets").start::<()>(&one)?,
        "child_parameter" => _ = relume::app("tell-secrets").parameter("P", one).start::<()>(&())?,
        "child_parameter_name" => _ = relume::app("tell-secrets").parameter(one, "x").start::<()>(&())?,
        "diverge" => {
            let given = if relume::run::attempt() == 1 { "nothing".to_owned() } else { text };
            step("tell").given(&given).run(|| Result::<_>::Ok(()))?;
            anyhow::bail!("once more");
        }
        "http" => {
            let secret: String = one.bytes().map(|byte| format!("%{byte:02X}")).collect();
            step("tell").run(|| {
                Result::<_>::Ok(_ = http::post(format!("{url}/tell?key={secret}")).body(one.clone()).send()?)
            })?;
        }
        "http_refused" => step("tell")
            .attempts(1)
            .run(|| Result::<_>::Ok(_ = http::get(format!("https://{url}/{}", base64(one.as_bytes()))).send()?))?,
        "output" => return Ok(one.into()),
        "output_base64" => return Ok(base64(text.as_bytes()).into()),
        other => anyhow::bail!("`{other}` is no way to tell a secret"),
    }
    Ok(().into())
}

fn print(secret: &str) {
    let bytes = secret.as_bytes();
    println!("{secret}");
    eprintln!("{secret:?} {}", serde_json::to_string(secret).unwrap_or_default());
    let percent: String = bytes.iter().map(|byte| format!("%{byte:02X}")).collect();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    println!("{percent} {hex} {} {}", hex.to_uppercase(), base64(bytes));
    println!("Basic {} {}", base64(format!("user:{secret}").as_bytes()), base64(bytes).trim_end_matches('='));
    print!("url {}", base64(bytes).replace('+', "-").replace('/', "_"));
    println!();
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = |chunk: &[u8]| {
        let bits = (0..3).fold(0_usize, |bits, i| bits << 8 | usize::from(chunk.get(i).copied().unwrap_or(0)));
        let digit = |i: usize| if i <= chunk.len() { char::from(DIGITS[bits >> (18 - 6 * i) & 63]) } else { '=' };
        (0..4).map(digit).collect::<String>()
    };
    bytes.chunks(3).map(digits).collect()
}
