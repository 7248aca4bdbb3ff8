//! Buckets of Amazon S3, of Cloudflare R2, and of servers that are compatible with S3: from options, variables and
//! profile files to a client. Not here: requests, and errors of a server (`connection`).
//!
//! Strongest first: `--lake-option`, `--endpoint` (for the address), variables, the profile.

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey as Key};
use object_store::{Certificate, ClientConfigKey, ClientOptions};
use url::Url;

use super::access_key::{self, AccessKey};
use super::aws_profile::Profile;
use super::target::{
    BucketUrl, Provider, Source, Target, Variables, check_texts, checked_endpoint, control_character, has_control,
    unknown_option,
};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::store::StoreOptions;

/// The option that names the jurisdiction of an R2 bucket. It is not one of `object_store`.
const JURISDICTION: &str = "jurisdiction";
/// The region that the client signs for if nothing names one, as `object_store` does.
const DEFAULT_REGION: &str = "us-east-1";

/// Returns the description of a bucket, and a client of it that is not built yet.
///
/// Fails, of kind Input, for a variable that is missing, an option that is not known, a profile that cannot be used, and
/// files that cannot be read.
pub(super) fn describe(url: &BucketUrl, options: &StoreOptions) -> Result<(Target, AmazonS3Builder)> {
    let is_r2 = url.provider == Provider::R2;
    check_texts(options, |name| name.parse::<Key>().is_ok())?;
    let variables = Variables::of(options);
    let given = given(url.provider, options)?;
    let of_environment: Vec<(Key, String)> =
        variables.with_prefix("AWS_").filter_map(|(name, text)| Some((name.parse().ok()?, text.to_owned()))).collect();
    let last = |list: &[(Key, String)], wanted: &[Key]| {
        let found = list.iter().rev().find(|(key, text)| wanted.contains(key) && !text.is_empty());
        found.map(|(_, text)| text.clone())
    };
    let either = |wanted: &[Key]| last(&given, wanted).or_else(|| last(&of_environment, wanted));

    let own_keys = access_key::given(
        [Key::AccessKeyId, Key::SecretAccessKey, Key::Token].map(|key| last(&given, &[key])),
        is_r2,
        &variables,
    )?;
    // R2 has its own variables, and the keys of a profile are usually AWS's.
    let profile = if is_r2 && own_keys.is_some() { Profile::default() } else { Profile::read(options)? };

    let region = match is_r2 {
        true => last(&given, &[Key::Region, Key::DefaultRegion]).unwrap_or_else(|| "auto".to_owned()),
        false => either(&[Key::Region])
            .or_else(|| either(&[Key::DefaultRegion]))
            .or_else(|| profile.get("region").map(str::to_owned))
            .unwrap_or_else(|| DEFAULT_REGION.to_owned()),
    };
    let endpoint = last(&given, &[Key::S3Endpoint, Key::Endpoint]).or_else(|| options.endpoint.clone());
    let of_variable = || last(&of_environment, &[Key::S3Endpoint]).or_else(|| last(&of_environment, &[Key::Endpoint]));
    let endpoint = match (endpoint, is_r2) {
        (Some(endpoint), _) => Some(endpoint),
        (None, true) => Some(r2_endpoint(&variables, options, of_variable())?),
        (None, false) => of_variable().or_else(|| profile.get("endpoint_url").map(str::to_owned)),
    };
    let endpoint = endpoint.as_deref().map(checked_endpoint).transpose()?;

    let mut builder = AmazonS3Builder::new().with_client_options(client_options(&variables)?);
    if endpoint.is_some_and(|endpoint| endpoint.starts_with("http://")) {
        // The user wrote it out. AWS_ALLOW_HTTP=false still forbids it.
        builder = builder.with_allow_http(true);
    }
    for (key, text) in of_environment.iter().chain(&given).filter(|(key, _)| is_plain_setting(*key)) {
        builder = builder.with_config(*key, text);
    }
    builder = builder.with_bucket_name(&url.bucket).with_region(&region);
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint);
    }

    if either(&[Key::ConditionalPut]).is_some_and(|text| text.eq_ignore_ascii_case("disabled")) {
        return Err(Error::input("aws_conditional_put is disabled, and a lake needs conditional puts")
            .hint("remove that setting: leases and manifests are put under a condition"));
    }

    let mut credentials_url = None;
    let role = either(&[Key::RoleArn]).or_else(|| profile.get("role_arn").map(str::to_owned));
    let web_identity = either(&[Key::WebIdentityTokenFile]);
    let container = either(&[Key::ContainerCredentialsFullUri]);
    let container_token = either(&[Key::ContainerAuthorizationTokenFile]);
    if own_keys.is_none() {
        both_set([("AWS_WEB_IDENTITY_TOKEN_FILE", web_identity.is_some()), ("AWS_ROLE_ARN", role.is_some())])?;
        both_set([
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", container.is_some()),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", container_token.is_some()),
        ])?;
    }
    let web_identity = web_identity.zip(role);
    let of_profile = || Some((profile.get("web_identity_token_file")?.to_owned(), profile.get("role_arn")?.to_owned()));
    let is_chosen = |key: Key| either(&[key]).is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let is_anonymous = is_chosen(Key::SkipSignature);
    let keys = match own_keys {
        None if web_identity.is_none() && !is_anonymous => access_key::of_profile(&profile)?,
        own_keys => own_keys,
    };
    let source = if is_anonymous {
        builder = builder.with_skip_signature(true);
        Source::Anonymous
    } else if let Some(AccessKey { id, secret, token }) = keys {
        builder = builder.with_access_key_id(id).with_secret_access_key(secret);
        builder = token.into_iter().fold(builder, |builder, token| builder.with_token(token));
        Source::Given
    } else if is_r2 {
        return Err(Error::input(format!("there are no credentials for r2://{}", url.bucket)).hint(
            "set R2_ACCESS_KEY_ID and R2_SECRET_ACCESS_KEY (or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY) to those of an R2 API token",
        ));
    } else if let Some((file, role)) = web_identity.or_else(of_profile) {
        check_is_file(&file, "AWS_WEB_IDENTITY_TOKEN_FILE")?;
        builder = builder.with_config(Key::WebIdentityTokenFile, file).with_config(Key::RoleArn, role);
        let name = either(&[Key::RoleSessionName]).or_else(|| profile.get("role_session_name").map(str::to_owned));
        builder = name.into_iter().fold(builder, |builder, name| builder.with_config(Key::RoleSessionName, name));
        Source::WebIdentity
    } else if let Some(path) = either(&[Key::ContainerCredentialsRelativeUri]) {
        builder = builder.with_config(Key::ContainerCredentialsRelativeUri, path);
        Source::Container
    } else if let Some((uri, file)) = container.zip(container_token) {
        check_is_line(&file, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")?;
        builder = builder
            .with_config(Key::ContainerCredentialsFullUri, &uri)
            .with_config(Key::ContainerAuthorizationTokenFile, file);
        credentials_url = Some(uri);
        Source::Container
    } else if variables.any(&["AWS_EC2_METADATA_DISABLED"]).is_some_and(|text| text.eq_ignore_ascii_case("true")) {
        return Err(Error::input(format!("there are no credentials for s3://{}", url.bucket)).hint(
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE to a profile of ~/.aws; AWS_EC2_METADATA_DISABLED keeps those of the machine from being used",
        ));
    } else {
        Source::Machine
    };
    let target = Target {
        provider: url.provider,
        bucket: url.bucket.clone(),
        is_own_server: endpoint.is_some_and(is_own_server),
        server: endpoint.map_or_else(|| format!("https://s3.{region}.amazonaws.com"), str::to_owned),
        region,
        source,
        credentials_url,
        has_old_metadata: is_chosen(Key::ImdsV1Fallback),
        credentials_name: None,
    };
    Ok((target, builder))
}

/// Returns the options that concern S3. Those that begin with `google_` are for a lake at the other end of a copy.
fn given(provider: Provider, options: &StoreOptions) -> Result<Vec<(Key, String)>> {
    let options = options.options.iter().map(|(key, text)| (key.to_ascii_lowercase(), text));
    let concerned = options.filter(|(key, _)| !key.starts_with("google_") && key != JURISDICTION);
    let parse = |(key, text): (String, &String)| match key.parse() {
        Ok(Key::Bucket) | Err(_) => Err(unknown_option(provider, &key)),
        Ok(known) => Ok((known, text.trim().to_owned())),
    };
    concerned.map(parse).collect()
}

/// Whether a key is neither a credential nor a part of the address, which are decided apart.
fn is_plain_setting(key: Key) -> bool {
    !matches!(
        key,
        Key::AccessKeyId
            | Key::SecretAccessKey
            | Key::Token
            | Key::Region
            | Key::DefaultRegion
            | Key::Bucket
            | Key::Endpoint
            | Key::S3Endpoint
            | Key::WebIdentityTokenFile
            | Key::RoleArn
            | Key::RoleSessionName
            | Key::ContainerCredentialsRelativeUri
            | Key::ContainerCredentialsFullUri
            | Key::ContainerAuthorizationTokenFile
            | Key::SkipSignature
    )
}

/// Returns the address of an R2 account, in its jurisdiction.
fn r2_endpoint(variables: &Variables<'_>, options: &StoreOptions, of_aws: Option<String>) -> Result<String> {
    let Some(account) = variables.any(&["CLOUDFLARE_ACCOUNT_ID"]) else {
        return of_aws.ok_or_else(|| {
            Error::input("CLOUDFLARE_ACCOUNT_ID is not set").hint(
                "set it to the id of the account, 32 hexadecimal digits of the R2 page of the dashboard; or give --endpoint",
            )
        });
    };
    let is_word = |text: &str| !text.is_empty() && text.chars().all(|letter| letter.is_ascii_alphanumeric());
    if !is_word(account) {
        return Err(Error::input(format!("CLOUDFLARE_ACCOUNT_ID is {account:?}, which is not the id of an account"))
            .hint("it has 32 hexadecimal digits; the R2 page of the dashboard shows it"));
    }
    let jurisdiction = options.options.get(JURISDICTION).map(String::as_str);
    let jurisdiction = jurisdiction.or_else(|| variables.any(&["CLOUDFLARE_R2_JURISDICTION"])).unwrap_or("default");
    match jurisdiction.to_ascii_lowercase().as_str() {
        "default" => Ok(format!("https://{account}.r2.cloudflarestorage.com")),
        known @ ("eu" | "fedramp") => Ok(format!("https://{account}.{known}.r2.cloudflarestorage.com")),
        _ => Err(Error::input(format!("{jurisdiction:?} is not a jurisdiction of R2"))
            .hint("CLOUDFLARE_R2_JURISDICTION is eu, fedramp or default")),
    }
}

/// Returns whether a server is another one than AWS's and Cloudflare's.
fn is_own_server(endpoint: &str) -> bool {
    let url = Url::parse(endpoint).ok();
    let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
    ![".amazonaws.com", ".amazonaws.com.cn", ".r2.cloudflarestorage.com"].iter().any(|end| host.ends_with(end))
}

/// Returns the options of the HTTP client, with the certificates of `AWS_CA_BUNDLE`.
fn client_options(variables: &Variables<'_>) -> Result<ClientOptions> {
    let options = ClientOptions::new().with_config(ClientConfigKey::UserAgent, super::USER_AGENT);
    let Some(path) = variables.any(&["AWS_CA_BUNDLE"]) else { return Ok(options) };
    let refused = || format!("the certificates of AWS_CA_BUNDLE, {path}, cannot be read");
    let pem = std::fs::read(path).or_error(ErrorKind::Input, refused)?;
    let certificates = Certificate::from_pem_bundle(&pem).or_error(ErrorKind::Input, refused)?;
    Ok(certificates.into_iter().fold(options, ClientOptions::with_root_certificate))
}

/// Fails, of kind Input, unless a file has one line without an end. The client puts it into a header as it is.
fn check_is_line(path: &str, variable: &str) -> Result<()> {
    check_is_file(path, variable)?;
    let text =
        std::fs::read_to_string(path).or_error(ErrorKind::Input, || format!("{variable} ({path}) is no text"))?;
    match has_control(&text) {
        true => Err(control_character(&format!("the file of {variable}, {path},"))
            .hint("write it again without a line end: printf %s TOKEN > FILE")),
        false => Ok(()),
    }
}

/// Fails, of kind Input, if the first of two variables is set and the second is not.
fn both_set([(first, is_set), (second, is_second_set)]: [(&str, bool); 2]) -> Result<()> {
    match is_set && !is_second_set {
        true => Err(Error::input(format!("{first} is set, and {second} is not"))
            .hint(format!("set {second} too, or unset {first} to use other credentials"))),
        false => Ok(()),
    }
}

fn check_is_file(path: &str, variable: &str) -> Result<()> {
    match std::fs::metadata(path) {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::input(format!("the file of {variable}, {path}, cannot be read"))
            .source(error)
            .hint("correct the path, or unset the variable to use other credentials")),
    }
}
