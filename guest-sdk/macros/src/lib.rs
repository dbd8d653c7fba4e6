//! `#[relume::main]`: turns an ordinary function into the program's `main`. What the program does before and
//! after that function is `relume::__entry`; here is only its shape, and what to say when it is wrong.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, FnArg, ItemFn, Result};

/// Makes a function the program: its argument is the run's input, its result the run's output.
///
/// It may be `fn main()`, `fn main(input: T)`, or either with `-> Result<U, E>`; `T` is any type serde can
/// deserialize, `U` any it can serialize, `E` anything that becomes an [`anyhow::Error`].
///
/// * The input is read as JSON. A run without input has the input `null`, which is a valid `()` and `Option`.
///   A `main` without argument ignores the input.
/// * The output is written as JSON. An output that is JSON `null`, such as `()`, is none.
/// * An error is printed to stderr with its causes and becomes the attempt's failure; the exit code is 1.
///
/// The first page of `relume-sdk` shows one in use.
///
/// [`anyhow::Error`]: https://docs.rs/anyhow/1/anyhow/struct.Error.html
#[proc_macro_attribute]
pub fn main(attribute: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    expand(attribute.into(), item.into()).unwrap_or_else(Error::into_compile_error).into()
}

fn expand(attribute: TokenStream, item: TokenStream) -> Result<TokenStream> {
    if !attribute.is_empty() {
        return Err(Error::new(attribute.span(), "`#[relume::main]` takes no arguments"));
    }
    let function: ItemFn = syn::parse2(item)?;
    if function.sig.ident != "main" {
        return Err(Error::new(function.sig.ident.span(), "the program is the function `main`: rename this one"));
    }
    let call = match input_of(&function) {
        Err(error) => {
            // The empty `main` spares the user a second error, that there is none.
            let error = error.into_compile_error();
            return Ok(quote!(#error fn main() {}));
        }
        Ok(Some(input)) => {
            let input = &input.ty;
            quote_spanned!(input.span()=> ::relume::__entry::with_input::<#input, _>(main))
        }
        Ok(None) => quote_spanned!(function.sig.span()=> ::relume::__entry::without_input(main)),
    };
    // The function stays as it was written, within the real `main`; its name is what a backtrace shows.
    Ok(quote_spanned!(function.sig.fn_token.span=>
        fn main() -> ::std::process::ExitCode {
            #function
            #call
        }
    ))
}

/// The argument of a function that can be the program, or why it cannot.
fn input_of(function: &ItemFn) -> Result<Option<&syn::PatType>> {
    let signature = &function.sig;
    if let Some(token) = signature.asyncness {
        let message = "`main` cannot be async: steps and HTTP requests block until they are done";
        return Err(Error::new(token.span, message));
    }
    if !signature.generics.params.is_empty() {
        return Err(Error::new(signature.generics.span(), "`main` cannot be generic: name the type of the input"));
    }
    let mut inputs = signature.inputs.iter();
    let input = match inputs.next() {
        None => None,
        Some(FnArg::Receiver(receiver)) => return Err(Error::new(receiver.span(), "`main` cannot be a method")),
        Some(FnArg::Typed(input)) => Some(input),
    };
    if let Some(second) = inputs.next() {
        let message = "`main` takes one argument, the run's input: put the values into one struct";
        return Err(Error::new(second.span(), message));
    }
    match input.map(|input| &*input.ty) {
        Some(syn::Type::ImplTrait(ty)) => Err(Error::new(ty.span(), "name the type of the input")),
        Some(syn::Type::Reference(ty)) => Err(Error::new(ty.span(), "the input is owned: `String`, not `&str`")),
        _ => Ok(input),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(program: &str) -> String {
        let item = program.parse().expect("these are tokens");
        match expand(TokenStream::new(), item) {
            Err(error) => error.to_string(),
            Ok(tokens) => tokens.to_string(),
        }
    }

    fn accepted(program: &str) -> String {
        let item = program.parse().expect("these are tokens");
        expand(TokenStream::new(), item).expect("this can be the program").to_string().replace(' ', "")
    }

    #[test] // R52
    fn an_argument_is_the_input() {
        let program = accepted("fn main(order: Order) -> Result<Receipt> { ship(order) }");
        assert!(program.contains("::relume::__entry::with_input::<Order,_>(main)"), "{program}");
        assert!(program.contains("fnmain(order:Order)->Result<Receipt>{ship(order)}"), "{program}");
    }

    #[test] // R52
    fn without_an_argument_the_input_is_ignored() {
        assert!(accepted("fn main() {}").contains("::relume::__entry::without_input(main)"));
    }

    #[test]
    fn what_cannot_be_the_program_is_refused_with_the_reason() {
        assert!(refused("async fn main() {}").contains("compile_error ! { \"`main` cannot be async"));
        assert!(refused("fn main(a: A, b: B) {}").contains("takes one argument"));
        assert!(refused("fn main<T>(input: T) {}").contains("cannot be generic"));
        assert!(refused("fn main(input: impl Sized) {}").contains("name the type"));
        assert!(refused("fn main(input: &str) {}").contains("owned"));
        assert!(refused("fn main(self) {}").contains("cannot be a method"));
        assert!(refused("fn run() {}").contains("rename"));
        assert!(refused("struct Order;").contains("expected `fn`"));
    }

    #[test]
    fn the_attribute_takes_no_arguments() {
        let error = expand("name = 1".parse().expect("tokens"), "fn main() {}".parse().expect("tokens"));
        assert!(error.expect_err("there are arguments").to_string().contains("takes no arguments"));
    }
}
