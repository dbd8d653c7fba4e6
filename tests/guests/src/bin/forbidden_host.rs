//! What does a program read when it asks a host that is not in `allowed_hosts`? The input is the URL.

#[relume::main]
fn main(url: String) -> relume::Result<String> {
    Ok(relume::step("get").run(|| match relume::http::get(&url).send() {
        Ok(answer) => Ok::<_, relume::Error>(answer.status().to_string()),
        Err(error) => Ok(error.to_string()),
    })?)
}
