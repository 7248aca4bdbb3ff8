use super::*;

const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "AK"), ("AWS_SECRET_ACCESS_KEY", "SK")];

fn options(variables: &[(&str, &str)], given: &[(&str, &str)]) -> StoreOptions {
    let map = |list: &[(&str, &str)]| list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    StoreOptions { environment: map(variables), options: map(given), ..StoreOptions::default() }
}

fn s3(options: &StoreOptions) -> Result<(Target, AmazonS3Builder)> {
    describe(&BucketUrl::parse(Provider::S3, "lake/a").unwrap(), options)
}

fn r2(options: &StoreOptions) -> Result<(Target, AmazonS3Builder)> {
    describe(&BucketUrl::parse(Provider::R2, "lake").unwrap(), options)
}

#[test]
fn the_variables_of_aws_describe_a_bucket() {
    let set = [&KEYS[..], &[("AWS_REGION", "eu-central-1"), ("AWS_DEFAULT_REGION", "us-west-1")]].concat();
    let (target, builder) = s3(&options(&set, &[])).unwrap();
    assert_eq!((target.server.as_str(), target.source), ("https://s3.eu-central-1.amazonaws.com", Source::Given));
    assert!(!target.is_own_server);
    let read = |key| builder.get_config_value(&key);
    assert_eq!(read(Key::AccessKeyId).as_deref(), Some("AK"));
    assert_eq!(read(Key::Region).as_deref(), Some("eu-central-1"));
    assert_eq!(read(Key::Bucket).as_deref(), Some("lake"));
    assert_eq!(read(Key::Endpoint), None);
    assert_eq!(read(Key::Token), None);

    let (target, _) = s3(&options(&[], &[])).unwrap();
    assert_eq!((target.region.as_str(), target.source), (DEFAULT_REGION, Source::Machine));
}

#[test]
fn an_option_wins_over_the_flag_the_flag_over_a_variable_and_one_source_gives_the_whole_key() {
    let set = [&KEYS[..], &[("AWS_SESSION_TOKEN", "T"), ("AWS_ENDPOINT_URL", "http://127.0.0.1:1")]].concat();
    let (target, builder) = s3(&options(&set, &[])).unwrap();
    assert!(target.is_own_server);
    assert_eq!(builder.get_config_value(&Key::Endpoint).as_deref(), Some("http://127.0.0.1:1"));
    assert_eq!(builder.get_config_value(&Key::Client(ClientConfigKey::AllowHttp)).as_deref(), Some("true"));
    let set = [&set[..], &[("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:2")]].concat();
    assert_eq!(s3(&options(&set, &[])).unwrap().0.server, "http://127.0.0.1:2");
    let mut told = options(&set, &[]);
    told.endpoint = Some("http://127.0.0.1:3".to_owned());
    assert_eq!(s3(&told).unwrap().0.server, "http://127.0.0.1:3");
    let given = [("endpoint_url", "http://127.0.0.1:4"), ("AWS_ACCESS_KEY_ID", "OK"), ("secret_access_key", "OS")];
    let given = [&given[..], &[("timeout", "9s"), ("google_base_url", "x")]].concat();
    let (target, builder) = s3(&options(&set, &given)).unwrap();
    assert_eq!(target.server, "http://127.0.0.1:4");
    let read = |key| builder.get_config_value(&key);
    assert_eq!((read(Key::AccessKeyId).as_deref(), read(Key::Token)), (Some("OK"), None));
    assert_eq!(read(Key::Client(ClientConfigKey::Timeout)).as_deref(), Some("9s"));
    let set = [&KEYS[..], &[("AWS_ENDPOINT_URL", "http://127.0.0.1:1"), ("AWS_ALLOW_HTTP", "false")]].concat();
    let (_, builder) = s3(&options(&set, &[])).unwrap();
    assert_eq!(builder.get_config_value(&Key::Client(ClientConfigKey::AllowHttp)).as_deref(), Some("false"));
}

#[test]
fn half_a_key_an_unknown_option_and_a_missing_file_are_named() {
    for (set, given, named) in [
        (&[("AWS_ACCESS_KEY_ID", "AK")][..], &[][..], "AWS_SECRET_ACCESS_KEY is not"),
        (&[("AWS_SECRET_ACCESS_KEY", "SK"), ("AWS_ACCESS_KEY_ID", "")], &[], "AWS_ACCESS_KEY_ID is not"),
        (&[], &[("access_key_id", "AK")], "--lake-option aws_secret_access_key is not"),
        (&[], &[("reggion", "x")], "--lake-option reggion"),
        (&[], &[("service_account", "x")], "--lake-option service_account"),
        (&[("AWS_EC2_METADATA_DISABLED", "true")], &[], "no credentials"),
        (&[("AWS_WEB_IDENTITY_TOKEN_FILE", "/gone"), ("AWS_ROLE_ARN", "r")], &[], "AWS_WEB_IDENTITY_TOKEN_FILE"),
        (&[("AWS_CA_BUNDLE", "/gone")], &[], "AWS_CA_BUNDLE"),
        (&[("AWS_PROFILE", "gone")], &[], "AWS_PROFILE"),
    ] {
        let error = s3(&options(set, given)).unwrap_err();
        assert!(error.message().contains(named), "{named}: {error:?}");
        assert_eq!(error.kind(), ErrorKind::Input);
        assert!(!error.report().contains("SK"), "{error:?}");
    }
}

#[test]
fn credentials_come_from_variables_then_web_identity_then_the_profile_then_the_machine() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(".aws")).unwrap();
    let text = "[default]\nregion = eu-west-3\naws_access_key_id = PK\naws_secret_access_key = PS\n[profile sso]\nsso_session = x\n";
    std::fs::write(home.path().join(".aws/config"), text).unwrap();
    let token = home.path().join("token");
    std::fs::write(&token, "t").unwrap();
    let token = token.to_str().unwrap();
    let tell = |set: &[(&str, &str)]| {
        let (target, builder) = s3(&StoreOptions { home: Some(home.path().to_owned()), ..options(set, &[]) }).unwrap();
        (target.source, builder.get_config_value(&Key::AccessKeyId), target.region)
    };
    let region = || "eu-west-3".to_owned();
    assert_eq!(tell(&[]), (Source::Given, Some("PK".to_owned()), region()));
    assert_eq!(tell(&KEYS), (Source::Given, Some("AK".to_owned()), region()));
    let web = [("AWS_WEB_IDENTITY_TOKEN_FILE", token), ("AWS_ROLE_ARN", "r")];
    assert_eq!(tell(&web), (Source::WebIdentity, None, region()));
    assert_eq!(tell(&[&web[..], &KEYS].concat()).1.as_deref(), Some("AK"));
    assert_eq!(tell(&[("AWS_SKIP_SIGNATURE", "true")]).0, Source::Anonymous);
    let sso = StoreOptions { home: Some(home.path().to_owned()), ..options(&[("AWS_PROFILE", "sso")], &[]) };
    assert!(s3(&sso).unwrap_err().hint_text().unwrap().contains("export-credentials --profile sso"));
    assert_eq!(tell(&[("AWS_PROFILE", "sso"), ("AWS_SKIP_SIGNATURE", "true")]).0, Source::Anonymous);
    let container = [("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x"), ("AWS_CONFIG_FILE", "/gone")];
    assert_eq!(tell(&container).0, Source::Container);
}

#[test]
fn an_r2_bucket_has_an_account_a_jurisdiction_and_keys_of_its_own() {
    let account = ("CLOUDFLARE_ACCOUNT_ID", "0123abc");
    let set = [&KEYS[..], &[account, ("AWS_REGION", "us-west-2"), ("R2_ACCESS_KEY_ID", "")]].concat();
    let (target, builder) = r2(&options(&set, &[])).unwrap();
    assert_eq!(target.server, "https://0123abc.r2.cloudflarestorage.com");
    assert_eq!((target.region.as_str(), target.is_own_server), ("auto", false));
    assert_eq!(builder.get_config_value(&Key::AccessKeyId).as_deref(), Some("AK"));

    let own = [("R2_ACCESS_KEY_ID", "RK"), ("R2_SECRET_ACCESS_KEY", "RS"), ("AWS_PROFILE", "gone")];
    let set = [&set[..6 - 1], &own, &[("CLOUDFLARE_R2_JURISDICTION", "EU")]].concat();
    let (target, builder) = r2(&options(&set, &[])).unwrap();
    assert_eq!(target.server, "https://0123abc.eu.r2.cloudflarestorage.com");
    assert_eq!(builder.get_config_value(&Key::AccessKeyId).as_deref(), Some("RK"));
    let server = |given: &[(&str, &str)]| r2(&options(&set, given)).map(|(target, _)| target.server);
    assert_eq!(server(&[("jurisdiction", "fedramp")]).unwrap(), "https://0123abc.fedramp.r2.cloudflarestorage.com");
    assert!(server(&[("jurisdiction", "mars")]).unwrap_err().message().contains("mars"));

    let of_aws = [&KEYS[..], &[("AWS_ENDPOINT_URL", "http://127.0.0.1:1")]].concat();
    assert_eq!(r2(&options(&of_aws, &[])).unwrap().0.server, "http://127.0.0.1:1");
    for (set, named) in [
        (&KEYS[..], "CLOUDFLARE_ACCOUNT_ID"),
        (&[account][..], "no credentials for r2://lake"),
        (&[account, ("R2_ACCESS_KEY_ID", "RK")], "R2_SECRET_ACCESS_KEY is not"),
        (&[("CLOUDFLARE_ACCOUNT_ID", "a.example.com/"), KEYS[0], KEYS[1]], "CLOUDFLARE_ACCOUNT_ID"),
    ] {
        let error = r2(&options(set, &[])).unwrap_err();
        assert!(error.message().contains(named) && error.hint_text().is_some(), "{named}: {error:?}");
    }
}

#[test]
fn settings_that_cannot_stand_in_a_header_and_half_a_set_are_named_and_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let file = |text: &str| {
        let path = folder.path().join(format!("token-{}", text.len()));
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (line, plain) = (file("hush\n"), file("hush"));
    let uri = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/x");
    let token = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
    for (set, named) in [
        (&[("AWS_REGION", "eu\nwest")][..], "AWS_REGION"),
        (&[("AWS_SESSION_TOKEN", "hush\nhush")], "AWS_SESSION_TOKEN"),
        (&[("AWS_ACCESS_KEY_ID", "hu\u{1}sh"), ("AWS_SECRET_ACCESS_KEY", "hush")], "AWS_ACCESS_KEY_ID"),
        (&[("AWS_WEB_IDENTITY_TOKEN_FILE", plain.as_str())], "AWS_ROLE_ARN"),
        (&[uri], token),
        (&[uri, (token, line.as_str())], token),
        (&[("AWS_CONDITIONAL_PUT", "disabled")], "aws_conditional_put"),
    ] {
        let error = s3(&options(set, &[])).unwrap_err();
        assert!(error.message().contains(named) && error.kind() == ErrorKind::Input, "{named}: {error:?}");
        assert!(!error.report().contains("hush") && error.hint_text().is_some(), "{error:?}");
    }
    // The variable of another tool may be a text of any form.
    let set = [&KEYS[..], &[("GOOGLE_CREDENTIALS", "{\n}"), ("AWS_NOTES", "a\nb")]].concat();
    assert_eq!(s3(&options(&set, &[])).unwrap().0.source, Source::Given);
    // A key of the user's own is used whatever else is set.
    let set = [&KEYS[..], &[("AWS_WEB_IDENTITY_TOKEN_FILE", plain.as_str()), uri]].concat();
    assert_eq!(s3(&options(&set, &[])).unwrap().0.source, Source::Given);
    let (target, _) = s3(&options(&[uri, (token, plain.as_str())], &[])).unwrap();
    assert_eq!(target.source, Source::Container);
}
