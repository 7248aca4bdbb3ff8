//! Access keys of S3 and R2: one source gives all parts of a key, since a token of another source would not fit. Not here:
//! the other kinds of credentials (`s3`).

use super::aws_profile::Profile;
use super::target::{Variables, control_character, has_control};
use crate::error::{Error, Result};

/// An access key.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct AccessKey {
    pub(super) id: String,
    pub(super) secret: String,
    pub(super) token: Option<String>,
}

/// Returns the access key of options, given as id, secret and token, else that of variables.
///
/// Fails, of kind Input, for half of one.
pub(super) fn given(
    of_options: [Option<String>; 3],
    is_r2: bool,
    variables: &Variables<'_>,
) -> Result<Option<AccessKey>> {
    let mut sources = vec![(of_options, ["--lake-option aws_access_key_id", "--lake-option aws_secret_access_key"])];
    let mut add = |names: [&'static str; 3]| {
        let [id, secret, _] = names;
        sources.push((names.map(|name| variables.any(&[name]).map(str::to_owned)), [id, secret]));
    };
    if is_r2 {
        add(["R2_ACCESS_KEY_ID", "R2_SECRET_ACCESS_KEY", "R2_SESSION_TOKEN"]);
    }
    add(["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]);
    for ([id, secret, token], names) in sources {
        if let Some(key) = both(id, secret, token, names)? {
            return Ok(Some(key));
        }
    }
    Ok(None)
}

/// Returns the access key of a profile.
///
/// Fails, of kind Input, for half of one, and for a profile whose credentials need a request or a program.
pub(super) fn of_profile(profile: &Profile) -> Result<Option<AccessKey>> {
    profile.check_is_static()?;
    let names = ["aws_access_key_id", "aws_secret_access_key", "aws_session_token"];
    let [id, secret, token] = names.map(|name| profile.get(name).map(str::to_owned));
    both(id, secret, token, ["aws_access_key_id of the profile", "aws_secret_access_key of the profile"])
}

/// Fails, of kind Input, for half of an access key.
fn both(
    id: Option<String>,
    secret: Option<String>,
    token: Option<String>,
    [id_name, secret_name]: [&str; 2],
) -> Result<Option<AccessKey>> {
    let missing = |set: &str, unset: &str| {
        Err(Error::input(format!("{set} is set, and {unset} is not")).hint("an access key has both parts: set both"))
    };
    match (id, secret) {
        (Some(id), Some(secret)) if has_control(&id) || has_control(&secret) => Err(control_character(id_name)),
        (Some(_), Some(_)) if token.as_deref().is_some_and(has_control) => Err(control_character("a session token")),
        (Some(id), Some(secret)) => Ok(Some(AccessKey { id, secret, token })),
        (None, None) => Ok(None),
        (Some(_), None) => missing(id_name, secret_name),
        (None, Some(_)) => missing(secret_name, id_name),
    }
}
