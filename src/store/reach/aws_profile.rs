//! The profile files of the AWS tools, `~/.aws/config` and `~/.aws/credentials`: static keys, web identity, region and
//! endpoint. Not here: which of several sources of credentials is used (`s3`).

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::target::Variables;
use crate::error::{Error, Result};
use crate::store::StoreOptions;

/// The longest profile file that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// The settings of one profile, by their names in the files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Profile {
    pub(super) name: String,
    settings: BTreeMap<String, String>,
}

impl Profile {
    /// Reads the profile that `AWS_PROFILE` names, else `default`. A file that does not exist is empty.
    ///
    /// Fails, of kind Input, for a profile that is named and that neither file has, and for a file that cannot be read.
    pub(super) fn read(options: &StoreOptions) -> Result<Profile> {
        let variables = Variables::of(options);
        let named = variables.any(&["AWS_PROFILE", "AWS_DEFAULT_PROFILE"]);
        let place = |variable, file: &str| match variables.any(&[variable]) {
            Some(path) => Some(below_home(path, options.home.as_deref())),
            None => options.home.as_ref().map(|home| home.join(".aws").join(file)),
        };
        let config = read(place("AWS_CONFIG_FILE", "config"))?;
        let keys = read(place("AWS_SHARED_CREDENTIALS_FILE", "credentials"))?;
        let mut profiles = BTreeMap::new();
        parse(&config, true, &mut profiles);
        // Keys in the file of credentials replace those of the other one.
        parse(&keys, false, &mut profiles);
        let name = named.unwrap_or("default");
        match profiles.remove(name) {
            Some(settings) => Ok(Profile { name: name.to_owned(), settings }),
            None if named.is_none() => Ok(Profile::default()),
            None => {
                let known: Vec<&str> = profiles.keys().map(String::as_str).collect();
                Err(Error::input(format!("AWS_PROFILE is {name}, and there is no such profile")).hint(
                    match known.is_empty() {
                        true => "there are no profiles: aws configure makes one, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY".to_owned(),
                        false => format!("the profiles are: {}", known.join(", ")),
                    },
                ))
            }
        }
    }

    /// Returns a setting; `None` also for an empty one.
    pub(super) fn get(&self, setting: &str) -> Option<&str> {
        self.settings.get(setting).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// Fails, of kind Input, if the credentials of the profile need a request or a program that this tool does not do.
    pub(super) fn check_is_static(&self) -> Result<()> {
        let how = if ["sso_session", "sso_start_url", "sso_account_id"].iter().any(|key| self.get(key).is_some()) {
            "signs in by SSO"
        } else if self.get("login_session").is_some() {
            "signs in by a console session"
        } else if self.get("credential_process").is_some() {
            "gets its credentials from a program (credential_process)"
        } else if self.get("role_arn").is_some() && self.get("web_identity_token_file").is_none() {
            "assumes a role by other credentials"
        } else {
            return Ok(());
        };
        let name = &self.name;
        let message = format!("the AWS profile {name} {how}, and all-docs reads keys and web identities only");
        Err(Error::input(message).hint(format!(
            "let the AWS tool export its keys: eval \"$(aws configure export-credentials --profile {name} --format env)\""
        )))
    }
}

fn below_home(path: &str, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}

fn read(path: Option<PathBuf>) -> Result<String> {
    let Some(path) = path else { return Ok(String::new()) };
    let refused = |why: String| Err(Error::input(format!("cannot read the AWS profiles of {}: {why}", path.display())));
    match std::fs::metadata(&path) {
        Ok(found) if found.len() > MAX_BYTES => return refused(format!("it has more than {MAX_BYTES} bytes")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        _ => {}
    }
    match std::fs::read(&path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) => refused(error.to_string()),
    }
}

/// Adds the profiles of a file. In `config` their sections are `[default]` and `[profile NAME]`, in `credentials`
/// `[NAME]`.
fn parse(text: &str, is_config: bool, profiles: &mut BTreeMap<String, BTreeMap<String, String>>) {
    let mut section: Option<String> = None;
    // A line that is farther to the right than the setting before it belongs to that setting.
    let mut setting_indent: Option<usize> = None;
    for line in text.trim_start_matches('\u{feff}').lines() {
        let indent = line.len() - line.trim_start().len();
        let is_nested = setting_indent.is_some_and(|setting| indent > setting);
        let line = without_comment(line);
        if let Some(head) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let head = head.trim();
            section = match head.strip_prefix("profile").filter(|rest| rest.starts_with([' ', '\t'])) {
                Some(name) if is_config => Some(name.trim().trim_matches('"').to_owned()),
                _ if is_config && head != "default" => None,
                _ => Some(head.to_owned()),
            };
            setting_indent = None;
            if let Some(name) = &section {
                profiles.entry(name.clone()).or_default();
            }
        } else if let (Some(name), Some((key, value))) = (&section, line.split_once(['=', ':']))
            && !is_nested
            && let Some(profile) = profiles.get_mut(name)
        {
            setting_indent = Some(indent);
            profile.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
}

fn without_comment(line: &str) -> &str {
    let line = line.trim();
    if line.starts_with(['#', ';']) {
        return "";
    }
    let ends = [" #", " ;", "\t#", "\t;"].iter().filter_map(|mark| line.find(mark));
    line[..ends.min().unwrap_or(line.len())].trim_end()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn profile(files: &[(&str, &str)], variables: &[(&str, &str)]) -> Result<Profile> {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".aws")).unwrap();
        for (name, text) in files {
            std::fs::write(home.path().join(".aws").join(name), text).unwrap();
        }
        let set = variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        Profile::read(&StoreOptions { home: Some(home.path().to_owned()), environment: set, ..StoreOptions::default() })
    }

    #[test]
    fn a_profile_joins_both_files_and_the_file_of_credentials_wins() {
        let config = "; a comment\n[default]\nregion = eu-west-1 # here\ns3 =\n  region = nested\n[profile two]\r\nRegion=us-west-2\r\naws_access_key_id = old\n[sso-session x]\nsso_start_url = https://example.com\n";
        let keys = "[two]\naws_access_key_id=AK\naws_secret_access_key = a/b+c=\n";
        let files = [("config", config), ("credentials", keys)];
        let two = profile(&files, &[("AWS_PROFILE", "two")]).unwrap();
        let told = ["region", "aws_access_key_id", "aws_secret_access_key"].map(|key| two.get(key));
        assert_eq!(told, [Some("us-west-2"), Some("AK"), Some("a/b+c=")]);
        assert_eq!(profile(&files, &[("AWS_PROFILE", "")]).unwrap().get("region"), Some("eu-west-1"));
        assert_eq!(profile(&[], &[]).unwrap(), Profile::default());
    }

    #[test]
    fn settings_may_be_indented_and_have_colons() {
        let keys = " [ default ] # mine\n  aws_access_key_id : AK\n  s3 =\n    aws_access_key_id = nested\n\taws_secret_access_key= a:b=c\n";
        let found = profile(&[("credentials", keys)], &[]).unwrap();
        assert_eq!(found.get("aws_access_key_id"), Some("AK"));
        assert_eq!(found.get("aws_secret_access_key"), Some("a:b=c"));
    }

    #[test]
    fn a_profile_that_does_not_exist_is_named_with_those_that_do() {
        let error = profile(&[("config", "[profile a]\n[default]\n")], &[("AWS_PROFILE", "b")]).unwrap_err();
        assert_eq!(error.hint_text(), Some("the profiles are: a, default"));
        let error = profile(&[], &[("AWS_PROFILE", "b")]).unwrap_err();
        assert!(error.hint_text().unwrap().contains("aws configure"), "{error:?}");
    }

    #[test]
    fn a_profile_that_needs_a_program_or_a_sign_in_says_what_to_export() {
        for line in [
            "sso_session = x",
            "sso_start_url = https://example.com",
            "login_session = arn:aws:iam::1:user/x",
            "credential_process = /bin/keys",
            "role_arn = arn:aws:iam::1:role/x\nsource_profile = y",
        ] {
            let found = profile(&[("config", &format!("[default]\n{line}\n"))], &[]).unwrap();
            let error = found.check_is_static().unwrap_err();
            let hint = error.hint_text().unwrap();
            assert!(hint.contains("aws configure export-credentials --profile default --format env"), "{hint}");
        }
        let web = "[default]\nrole_arn = arn:aws:iam::1:role/x\nweb_identity_token_file = /t\n";
        profile(&[("config", web)], &[]).unwrap().check_is_static().unwrap();
    }
}
