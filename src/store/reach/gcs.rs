//! Buckets of Google Cloud Storage: from options, variables and files of credentials to a client. Not here: requests, and
//! errors of a server (`connection`).
//!
//! Strongest first: `--lake-option`, `--endpoint` (for the address), variables, the file that `gcloud auth
//! application-default login` writes, the metadata server of the machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder, GoogleConfigKey as Key};
use object_store::{ClientConfigKey, StaticCredentialProvider};
use serde_json::Value;

use super::target::{BucketUrl, Provider, Source, Target, Variables, check_texts, checked_endpoint, unknown_option};
use crate::error::{Error, Result};
use crate::store::StoreOptions;

/// The address of Google's own server.
const SERVER: &str = "https://storage.googleapis.com";
/// The file of application default credentials, in the folder of gcloud's settings.
const DEFAULT_FILE: &str = "application_default_credentials.json";
/// The hint for credentials that the client cannot use.
const TOKEN_HINT: &str = "use the key file of a service account, or a token for an hour: export GOOGLE_OAUTH_ACCESS_TOKEN=\"$(gcloud auth print-access-token)\"";

/// The place of credentials that were found: its name for errors, and the setting of the client.
struct Found {
    name: String,
    key: Key,
    text: String,
}

/// Returns the description of a bucket, and a client of it that is not built yet.
///
/// Fails, of kind Input, for an option that is not known, and for credentials that cannot be read or used.
pub(super) fn describe(url: &BucketUrl, options: &StoreOptions) -> Result<(Target, GoogleCloudStorageBuilder)> {
    check_texts(options, |name| name == "google_oauth_access_token" || name.parse::<Key>().is_ok())?;
    let variables = Variables::of(options);
    let given = given(options)?;
    let mut of_environment: Vec<(Key, String)> = Vec::new();
    // The name of `object_store` itself, the weakest.
    of_environment.extend(variables.any(&["SERVICE_ACCOUNT"]).map(|path| (Key::ServiceAccount, path.to_owned())));
    let named = variables.with_prefix("GOOGLE_");
    of_environment.extend(named.filter_map(|(name, text)| Some((name.parse().ok()?, text.to_owned()))));
    let last = |list: &[(Key, String)], key: Key| {
        list.iter().rev().find(|(known, text)| *known == key && !text.is_empty()).map(|(_, text)| text.clone())
    };
    let endpoint =
        last(&given, Key::BaseUrl).or_else(|| options.endpoint.clone()).or_else(|| last(&of_environment, Key::BaseUrl));
    let endpoint = endpoint.as_deref().map(checked_endpoint).transpose()?;

    let mut builder = GoogleCloudStorageBuilder::new()
        .with_config(Key::Client(ClientConfigKey::UserAgent), super::USER_AGENT)
        .with_bucket_name(&url.bucket);
    for (key, text) in of_environment.iter().chain(&given).filter(|(key, _)| matches!(key, Key::Client(_))) {
        builder = builder.with_config(*key, text);
    }
    if let Some(endpoint) = endpoint {
        builder = builder.with_base_url(endpoint);
    }

    let skips = last(&given, Key::SkipSignature).or_else(|| last(&of_environment, Key::SkipSignature));
    let is_anonymous = skips.is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let token = variables.any(&["GOOGLE_OAUTH_ACCESS_TOKEN"]);
    let found = find(&given, "--lake-option");
    let mut credentials_name = None;
    let source = if is_anonymous || (token.is_some() && found.is_none()) {
        // The client of this version asks for a token also where none is needed.
        let bearer = if is_anonymous { String::new() } else { token.unwrap_or_default().to_owned() };
        let credentials = StaticCredentialProvider::new(GcpCredential { bearer });
        builder = builder.with_skip_signature(is_anonymous).with_credentials(Arc::new(credentials));
        if is_anonymous { Source::Anonymous } else { Source::Given }
    } else {
        let found = found.or_else(|| find(&of_environment, "")).or_else(|| default_file(&variables, options));
        match found {
            Some(found) => {
                let source = check(&found)?;
                builder = builder.with_config(found.key, found.text);
                credentials_name = Some(found.name);
                source
            }
            None => Source::Machine,
        }
    };
    let server = endpoint.unwrap_or(SERVER);
    let target = Target {
        provider: Provider::Gcs,
        bucket: url.bucket.clone(),
        server: server.to_owned(),
        is_own_server: server != SERVER,
        region: String::new(),
        source,
        credentials_url: None,
        has_old_metadata: false,
        credentials_name,
    };
    Ok((target, builder))
}

/// Returns the options that concern GCS. Those that begin with `aws_` are for a lake at the other end of a copy.
fn given(options: &StoreOptions) -> Result<Vec<(Key, String)>> {
    let options = options.options.iter().map(|(key, text)| (key.to_ascii_lowercase(), text));
    let concerned = options.filter(|(key, _)| !key.starts_with("aws_") && key != "jurisdiction");
    let parse = |(key, text): (String, &String)| match key.parse() {
        Ok(Key::Bucket) | Err(_) => Err(unknown_option(Provider::Gcs, &key)),
        Ok(known) => Ok((known, text.trim().to_owned())),
    };
    concerned.map(parse).collect()
}

/// Finds credentials among options or variables: the key of a service account, its file, application credentials.
fn find(list: &[(Key, String)], flag: &str) -> Option<Found> {
    [Key::ServiceAccountKey, Key::ServiceAccount, Key::ApplicationCredentials].into_iter().find_map(|wanted| {
        let (key, text) = list.iter().rev().find(|(key, text)| *key == wanted && !text.is_empty())?;
        let name = match flag {
            "" => key.as_ref().to_ascii_uppercase(),
            flag => format!("{flag} {}", key.as_ref()),
        };
        Some(Found { name, key: *key, text: text.clone() })
    })
}

/// Finds the file of application default credentials.
fn default_file(variables: &Variables<'_>, options: &StoreOptions) -> Option<Found> {
    let of_home = || {
        let home = options.home.as_ref()?;
        // On Windows gcloud's settings are below APPDATA.
        let folders = [home.join(".config").join("gcloud"), home.join("AppData").join("Roaming").join("gcloud")];
        folders.into_iter().find(|folder| folder.join(DEFAULT_FILE).exists())
    };
    let folder = variables.any(&["CLOUDSDK_CONFIG"]).map(PathBuf::from).or_else(of_home)?;
    let path = folder.join(DEFAULT_FILE);
    let text = path.to_str().filter(|_| path.exists())?.to_owned();
    Some(Found { name: "the application default credentials".to_owned(), key: Key::ApplicationCredentials, text })
}

/// Checks credentials before the client reads them, so that the error names their place and repeats nothing of them.
fn check(found: &Found) -> Result<Source> {
    let name = &found.name;
    let (text, place) = match found.key {
        Key::ServiceAccountKey => (found.text.clone(), name.clone()),
        _ => {
            let path = Path::new(&found.text);
            let place = format!("{name} ({})", path.display());
            let text = std::fs::read_to_string(path).map_err(|error| {
                let told = Error::input(format!("cannot read {place}")).source(error);
                told.hint("correct the path, or unset the variable to use other credentials")
            })?;
            (text, place)
        }
    };
    let wrong = |why: &str| Err(Error::input(format!("{place} {why}")).hint(TOKEN_HINT));
    let Ok(value) = serde_json::from_str::<Value>(&text) else {
        return wrong("is not JSON");
    };
    let kind = value.get("type").and_then(Value::as_str);
    let has = |members: &[&str]| members.iter().all(|member| value.get(member).is_some_and(Value::is_string));
    // The client then asks for no token, and signs no request for data.
    let is_anonymous = value.get("disable_oauth").and_then(Value::as_bool) == Some(true);
    match (kind, found.key) {
        (Some("authorized_user"), Key::ApplicationCredentials) => {
            match has(&["client_id", "client_secret", "refresh_token"]) {
                true => Ok(Source::User),
                false => wrong("lacks a part of the credentials of a user"),
            }
        }
        (Some("service_account"), _) | (None, Key::ServiceAccount | Key::ServiceAccountKey) => {
            match has(&["private_key", "private_key_id", "client_email"]) {
                true if is_anonymous => Ok(Source::Anonymous),
                true => Ok(Source::Given),
                false => wrong("lacks a part of the key of a service account"),
            }
        }
        (Some(kind), _) => wrong(&format!("holds credentials of the type {kind:?}, which all-docs cannot use")),
        (None, _) => wrong("does not say the type of its credentials"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const ACCOUNT: &str =
        r#"{"type":"service_account","private_key":"hush","private_key_id":"1","client_email":"a@example.com"}"#;
    const USER: &str = r#"{"type":"authorized_user","client_id":"1","client_secret":"hush","refresh_token":"2"}"#;

    fn options(variables: &[(&str, &str)], given: &[(&str, &str)]) -> StoreOptions {
        let map = |list: &[(&str, &str)]| -> BTreeMap<String, String> {
            list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        StoreOptions { environment: map(variables), options: map(given), ..StoreOptions::default() }
    }

    fn gcs(options: &StoreOptions) -> Result<(Target, GoogleCloudStorageBuilder)> {
        describe(&BucketUrl::parse(Provider::Gcs, "lake/a").unwrap(), options)
    }

    #[test]
    fn credentials_come_from_options_then_variables_then_the_file_of_gcloud_then_the_machine() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("account.json");
        std::fs::write(&file, ACCOUNT).unwrap();
        let file = file.to_str().unwrap();
        let tell = |set: &[(&str, &str)], given: &[(&str, &str)]| {
            let options = StoreOptions { home: Some(home.path().to_owned()), ..options(set, given) };
            let (target, builder) = gcs(&options).unwrap();
            let keys = [Key::ServiceAccountKey, Key::ServiceAccount, Key::ApplicationCredentials];
            let used = keys.into_iter().find(|key| builder.get_config_value(key).is_some());
            (target.source, used)
        };
        assert_eq!(tell(&[("GOOGLE_APPLICATION_CREDENTIALS", "")], &[]), (Source::Machine, None));
        let gcloud = home.path().join(".config/gcloud");
        std::fs::create_dir_all(&gcloud).unwrap();
        std::fs::write(gcloud.join(DEFAULT_FILE), USER).unwrap();
        assert_eq!(tell(&[], &[]), (Source::User, Some(Key::ApplicationCredentials)));
        let config = home.path().join("other");
        std::fs::create_dir(&config).unwrap();
        std::fs::write(config.join(DEFAULT_FILE), ACCOUNT).unwrap();
        let config = ("CLOUDSDK_CONFIG", config.to_str().unwrap());
        assert_eq!(tell(&[config], &[]), (Source::Given, Some(Key::ApplicationCredentials)));
        let default = ("GOOGLE_APPLICATION_CREDENTIALS", file);
        assert_eq!(tell(&[default], &[]), (Source::Given, Some(Key::ApplicationCredentials)));
        assert_eq!(tell(&[default, ("SERVICE_ACCOUNT", file)], &[]).1, Some(Key::ServiceAccount));
        let key = ("GOOGLE_SERVICE_ACCOUNT_KEY", ACCOUNT);
        assert_eq!(tell(&[default, key], &[]).1, Some(Key::ServiceAccountKey));
        let unsigned = ACCOUNT.replace("{", r#"{"disable_oauth":true,"#);
        let unsigned = ("GOOGLE_SERVICE_ACCOUNT_KEY", unsigned.as_str());
        assert_eq!(tell(&[unsigned], &[]), (Source::Anonymous, Some(Key::ServiceAccountKey)));
        let token = ("GOOGLE_OAUTH_ACCESS_TOKEN", "hush");
        assert_eq!(tell(&[default, key, token], &[]), (Source::Given, None));
        assert_eq!(tell(&[token], &[("google_service_account", file)]).1, Some(Key::ServiceAccount));
        assert_eq!(tell(&[token], &[("skip_signature", "true")]), (Source::Anonymous, None));
    }

    #[test]
    fn an_address_comes_from_an_option_then_the_flag_then_a_variable() {
        let (target, _) = gcs(&options(&[], &[("timeout", "5s"), ("aws_region", "x")])).unwrap();
        assert_eq!((target.server.as_str(), target.is_own_server), (SERVER, false));
        let set = [("GOOGLE_BASE_URL", "http://127.0.0.1:1")];
        assert_eq!(gcs(&options(&set, &[])).unwrap().0.server, "http://127.0.0.1:1");
        let mut told = options(&set, &[]);
        told.endpoint = Some("http://127.0.0.1:2/".to_owned());
        let (target, builder) = gcs(&told).unwrap();
        assert_eq!((target.server.as_str(), target.is_own_server), ("http://127.0.0.1:2", true));
        drop(builder);
        told.options.insert("base_url".to_owned(), "http://127.0.0.1:3".to_owned());
        assert_eq!(gcs(&told).unwrap().0.server, "http://127.0.0.1:3");
        assert!(gcs(&options(&[], &[("region", "x")])).unwrap_err().message().contains("--lake-option region"));
    }

    #[test]
    fn credentials_that_cannot_be_used_are_named_and_not_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.json");
        let path = file.to_str().unwrap();
        for (text, why) in [
            (r#"{"type":"external_account","x":"hush"}"#, "external_account"),
            (r#"{"type":"service_account","private_key":"hush"}"#, "lacks a part"),
            (r#"{"type":"authorized_user","client_secret":"hush"}"#, "lacks a part"),
            (r#"{"private_key":"hush"}"#, "does not say the type"),
            (r#""hush"#, "is not JSON"),
            (r#""hush""#, "does not say the type"),
        ] {
            std::fs::write(&file, text).unwrap();
            let error = gcs(&options(&[("GOOGLE_APPLICATION_CREDENTIALS", path)], &[])).unwrap_err();
            let report = error.report();
            assert!(report.contains(why) && report.contains("GOOGLE_APPLICATION_CREDENTIALS"), "{report}");
            assert!(report.contains("gcloud auth print-access-token") && !report.contains("hush"), "{report}");
        }
        let error = gcs(&options(&[("GOOGLE_SERVICE_ACCOUNT_KEY", "{\"hush\"")], &[])).unwrap_err();
        assert!(
            !error.report().contains("hush") && error.message().contains("GOOGLE_SERVICE_ACCOUNT_KEY"),
            "{error:?}"
        );
        let error = gcs(&options(&[("SERVICE_ACCOUNT", "/gone/key.json")], &[])).unwrap_err();
        assert!(error.message().contains("/gone/key.json"), "{error:?}");
    }
}
