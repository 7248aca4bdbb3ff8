//! Selects the origin for a command that only reads a lake. Not here: opening a registry (`origin`).

use super::origin::given_name;
use super::settings::Settings;
use crate::error::{Error, Result};
use crate::lake::{LakeInfo, Layout, OriginLayout};
use crate::pipeline::{no_lake, read_lake};
use crate::registry::{Origin, shown_url};
use crate::store::Store;

/// The arguments that select an origin of the lake.
#[derive(Debug, clap::Args)]
pub(super) struct LakeArgs {
    /// Which of the lake's origins: its name, or its URL [default: the lake's first]
    #[arg(long, value_name = "ORIGIN", env = "ALL_DOCS_ORIGIN", hide_env_values = true)]
    pub(super) origin: Option<String>,
}

/// An existing lake and the selected origin.
pub(super) struct LakeOrigin {
    pub(super) store: Store,
    pub(super) info: LakeInfo,
    pub(super) layout: OriginLayout,
}

impl LakeOrigin {
    /// Opens the lake of the settings.
    ///
    /// Fails with kind Lake if there is no lake, and with kind Input for an origin that it does not hold.
    pub(super) async fn open(args: &LakeArgs, settings: &Settings) -> Result<LakeOrigin> {
        let store = settings.open_lake()?;
        let Some(info) = read_lake(&store).await? else { return Err(no_lake(settings.lake())) };
        let name = match settings.given_origin(args.origin.as_deref()) {
            Some(text) => find(text, &info)?,
            None => info.default_origin.clone(),
        };
        let layout = Layout::origin(&name);
        Ok(LakeOrigin { store, info, layout })
    }
}

impl LakeOrigin {
    /// Returns the flag that makes a command ask this registry; nothing for npm, the default.
    pub(super) fn flag(&self) -> String {
        match self.layout.name() {
            "npm" => String::new(),
            name => format!(" --origin {name}"),
        }
    }
}

/// Finds the name of the origin that `text` gives by name or URL.
pub(super) fn find(text: &str, info: &LakeInfo) -> Result<String> {
    let held = |name: &str| info.origins.contains_key(name);
    let (name, place) = given_name(text).unwrap_or((text, text));
    if held(name) {
        return Ok(name.to_owned());
    }
    if let Ok(origin) = Origin::parse(place, None)
        && held(&origin.name)
    {
        return Ok(origin.name);
    }
    let names: Vec<&str> = info.origins.keys().map(String::as_str).collect();
    Err(Error::input(format!("the lake holds no origin {:?}", shown_url(text)))
        .hint(format!("its origins: {}", names.join(", "))))
}
