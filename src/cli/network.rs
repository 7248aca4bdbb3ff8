//! The network settings of a registry: `.npmrc` files, variables and flags, for certificates, proxies, headers and
//! credentials. Not here: their meaning (`registry`).

use std::io::{self, ErrorKind as IoErrorKind};
use std::path::{Path, PathBuf};

use super::printer::Printer;
use super::registry_args::RegistryArgs;
use super::settings::Settings;
use crate::error::{Error, Result};
use crate::registry::{Credentials, Npmrc, Proxies, RegistryConfig, Trust, system_roots};
use crate::text;

/// The longest contact in a user agent.
const MAX_CONTACT_BYTES: usize = 200;

/// Adds the network settings to `config`, and returns the credentials. Prints a warning for each setting that cannot be
/// used, and goes on without it; a flag that cannot be used is an error of kind Input.
pub(super) fn configure(
    config: &mut RegistryConfig,
    args: &RegistryArgs,
    settings: &Settings,
    printer: &Printer,
) -> Result<Credentials> {
    let npmrc = npmrc(args.userconfig.as_deref(), printer)?;
    if let Some(contact) = settings.user_agent_contact(args.user_agent_contact.as_deref()) {
        config.user_agent = format!("{} (+{})", config.user_agent, checked_contact(contact)?);
    }
    config.proxies = Proxies::read(settings.proxy(args.proxy.as_deref()), &npmrc, &variable)?;
    config.trust = trust(settings.cafile(args.cafile.as_deref()), &npmrc, printer)?;
    let mut credentials = Credentials::of_npmrc(&npmrc).with_client_certificates(&npmrc, &read_named);
    if let Some(token) = variable("NPM_TOKEN").filter(|token| !token.is_empty()) {
        credentials = credentials.with_npm_token(&token)?;
    }
    for note in credentials.notes() {
        printer.warn(note);
    }
    let headers = settings.header(&args.header).iter().map(String::as_str);
    credentials.with_headers(headers.filter(|line| !line.trim().is_empty()))
}

/// Reads the user's `.npmrc`, the project's, and npm's variables. Later ones replace earlier ones.
fn npmrc(userconfig: Option<&Path>, printer: &Printer) -> Result<Npmrc> {
    let of_variable = || {
        let names = ["NPM_CONFIG_USERCONFIG", "npm_config_userconfig"];
        names.into_iter().find_map(std::env::var_os).filter(|path| !path.is_empty()).map(PathBuf::from)
    };
    let user_file = match userconfig {
        Some(path) => Some((path.to_owned(), true)),
        None => of_variable().or_else(|| Some(std::env::home_dir()?.join(".npmrc"))).map(|path| (path, false)),
    };
    let mut npmrc = Npmrc::default();
    for (path, is_flag) in user_file.into_iter().chain([(PathBuf::from(".npmrc"), false)]) {
        let bytes = if is_flag { std::fs::read(&path) } else { read_file(&path) };
        match bytes {
            Ok(bytes) => {
                // A comment in Latin-1 is no error for npm either.
                npmrc.read(&path.display().to_string(), &text::decode_leniently(&bytes), &variable);
            }
            Err(error) if is_flag => {
                return Err(
                    Error::input(format!("cannot read the file of --userconfig, {}", path.display())).source(error)
                );
            }
            Err(error) if error.kind() == IoErrorKind::NotFound => {}
            Err(error) => printer.warn(&format!("{} is not used, because it cannot be read: {error}", path.display())),
        }
    }
    for (name, value) in std::env::vars_os() {
        if let (Ok(name), Ok(value)) = (name.into_string(), value.into_string()) {
            npmrc.read_variable(&name, &value);
        }
    }
    Ok(npmrc)
}

/// Returns the certificates to trust, besides the built-in ones and the system's.
fn trust(cafile: Option<&Path>, npmrc: &Npmrc, printer: &Printer) -> Result<Trust> {
    let mut trust = Trust::default();
    trust.add_npmrc(npmrc, &read_named).iter().for_each(|note| printer.warn(note));
    let read = |path: &Path| read_pem(path).map_err(|error| error.to_string());
    const EXTRA: &str = "NODE_EXTRA_CA_CERTS";
    if let Some(path) = std::env::var_os(EXTRA).filter(|path| !path.is_empty()).map(PathBuf::from)
        && let Err(why) = read(&path).and_then(|pem| trust.add_pem(&pem))
    {
        printer.warn(&format!("{EXTRA}={} is not used: {why}", path.display()));
    }
    if let Some(path) = cafile
        && let Err(why) = read(path).and_then(|pem| trust.add_pem(&pem))
    {
        return Err(Error::input(format!("--cafile {} cannot be used: {why}", path.display())).hint(
            "it must be a PEM file with the certificate of the authority; openssl x509 -inform der -in FILE makes PEM of DER",
        ));
    }
    for name in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
        let Some(path) = std::env::var_os(name) else { continue };
        let roots = system_roots();
        let path = Path::new(&path).display();
        for problem in roots.problems() {
            printer.warn(&format!("{name}={path}: {problem}"));
        }
        if roots.count() == 0 && roots.problems().is_empty() {
            printer.warn(&format!("{name}={path}: it holds no certificate as PEM"));
        }
        break;
    }
    Ok(trust)
}

/// Reads a file that `.npmrc` names. `~/` is the user's home.
fn read_named(path: &str) -> io::Result<Vec<u8>> {
    let below_home = path.strip_prefix("~/").and_then(|rest| Some(std::env::home_dir()?.join(rest)));
    read_pem(&below_home.unwrap_or_else(|| PathBuf::from(path)))
}

/// Reads a file that nobody names on the command line. A pipe without a writer would be waited for without end.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let found = path.metadata()?;
    match found.is_file() || found.is_dir() {
        true => std::fs::read(path),
        false => Err(io::Error::other("it is no file")),
    }
}

/// Reads a file of PEM, which is text as the user's editor wrote it.
fn read_pem(path: &Path) -> io::Result<Vec<u8>> {
    read_file(path).map(|bytes| text::decode_leniently(&bytes).into_owned().into_bytes())
}

/// Returns the value of a variable; `None` also if it is no text.
pub(super) fn variable(name: &str) -> Option<String> {
    // A name with one of these makes the system's look-up fail.
    if name.is_empty() || name.contains(['=', '\0']) {
        return None;
    }
    std::env::var(name).ok()
}

/// Fails, of kind Input, for a contact that cannot stand in a comment of a user agent.
fn checked_contact(contact: &str) -> Result<&str> {
    let contact = contact.trim();
    let is_plain = |letter: u8| (b' '..=b'~').contains(&letter) && !b"()\\".contains(&letter);
    if contact.is_empty() || contact.len() > MAX_CONTACT_BYTES || !contact.bytes().all(is_plain) {
        return Err(Error::input("--user-agent-contact is no contact").hint(format!(
            "give a mail address or a URL: at most {MAX_CONTACT_BYTES} characters of ASCII, without parentheses and backslashes"
        )));
    }
    Ok(contact)
}
