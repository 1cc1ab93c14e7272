//! What commands read beside their arguments: files, standard input, a yes or no.

use crate::failure::{Failure, Outcome};
use crate::prompt;
use secrecy::{ExposeSecret, SecretString};

/// A file's text; `-` is standard input.
pub async fn read(file: &str) -> Outcome<String> {
    if file == "-" {
        return prompt::rest().await;
    }
    std::fs::read_to_string(file)
        .map_err(|error| Failure::local(format!("{file} cannot be read: {error}")))
}

/// Goes on if the person says yes, or said so beforehand.
pub async fn confirm(yes: bool, question: &str) -> Outcome {
    if yes {
        return Ok(());
    }
    if !prompt::is_terminal() {
        return Err(Failure::usage(
            "there is nobody to ask: say --yes to go on without",
        ));
    }
    let question = format!("{question} [y/N] ");
    let answer = tokio::select! {
        answer = prompt::line(&question, false) => answer?,
        () = crate::signals::interrupted() => return Err(Failure::Interrupted),
    };
    let says_yes = answer.is_some_and(|answer| {
        matches!(&*answer.expose_secret().trim().to_lowercase(), "y" | "yes")
    });
    if says_yes {
        Ok(())
    } else {
        Err(Failure::local("nothing was done"))
    }
}

/// The secret in a file, or one made now.
pub async fn secret(file: Option<&str>) -> Outcome<SecretString> {
    let Some(file) = file else {
        return make_secret();
    };
    let text = SecretString::from(read(file).await?);
    let secret = text.expose_secret().trim();
    if secret.is_empty() {
        return Err(Failure::usage(format!("{file}: has no secret in it")));
    }
    Ok(SecretString::from(secret))
}

/// Of the form that libraries of Standard Webhooks take.
pub fn make_secret() -> Outcome<SecretString> {
    let mut bytes = [0u8; 24];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::local(format!("there is no randomness: {error}")))?;
    Ok(SecretString::from(anyport_signing::secret_from(&bytes)))
}
