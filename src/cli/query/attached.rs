//! Opens the lakes of `--attach NAME=LAKE`.

use crate::cli::origin::given_name;
use crate::cli::settings::Settings;
use crate::error::{Error, Result};
use crate::pipeline::{LakeRoot, lake_ages, no_lake, open_to_read};
use crate::query::AttachedLake;

/// Opens each lake.
///
/// Fails with kind Input for one without a name, and with kind Lake if there is no lake.
pub(super) async fn open(texts: &[String], settings: &Settings) -> Result<Vec<AttachedLake>> {
    let mut lakes = Vec::new();
    for text in texts {
        let Some((name, place)) = given_name(text) else {
            return Err(Error::input(format!("--attach {text:?} does not name the lake"))
                .hint("as in: --attach old=lakes/2025, NAME=LAKE; a name is small letters, digits and _"));
        };
        let store = settings.open_store(place)?;
        let Some(LakeRoot { info, .. }) = open_to_read(&store).await? else { return Err(no_lake(place)) };
        let ages = lake_ages(&store, &info).await?;
        lakes.push(AttachedLake { name: name.to_owned(), store, info, ages });
    }
    Ok(lakes)
}
