//! Does a program without the SDK get the input on stdin, and its lines into the log?

fn main() -> std::io::Result<()> {
    std::io::copy(&mut std::io::stdin(), &mut std::io::stdout())?;
    Ok(())
}
