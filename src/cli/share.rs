//! Which share of the partitions a process takes: by `--share`, or by the variables that Cloud Run and Kubernetes set for
//! the tasks of a job.

use super::network::variable;
use crate::error::{Doing, Error, Result};
use crate::pipeline::Share;

/// The variables with the place of a task, from 0, and the number of tasks. Cloud Run sets both of its own; Kubernetes sets
/// the place only, in a job with `completionMode: Indexed`.
const VARIABLES: [(&str, &str); 2] =
    [("CLOUD_RUN_TASK_INDEX", "CLOUD_RUN_TASK_COUNT"), ("JOB_COMPLETION_INDEX", "ALL_DOCS_SHARE_COUNT")];

/// Returns the share that the user asked for, else that of the task that the process is; `None` for everything.
///
/// Fails, of kind Input, if a variable is no number, or if there is no such share.
pub(super) fn share(asked: Option<Share>) -> Result<Option<Share>> {
    let share = match asked {
        Some(share) => Some(share),
        None => of_task(variable)?,
    };
    Ok(share.filter(|share| !share.is_whole()))
}

fn of_task(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Share>> {
    let number = |name: &str, text: &str| {
        let number = text.trim().parse::<u32>();
        number.map_err(|_| Error::input(format!("{name} is {text:?}, which is no number")).hint("or set --share 1/1"))
    };
    for (of_place, of_count) in VARIABLES {
        // Kubernetes sets the place for jobs that do not divide the work too.
        let Some(count) = variable(of_count).map(|text| number(of_count, &text)).transpose()? else { continue };
        let Some(place) = variable(of_place).map(|text| number(of_place, &text)).transpose()? else { continue };
        let named = || format!("taking the share of {of_place}={place} and {of_count}={count}");
        return Share::new(place, count).map(Some).doing(named);
    }
    Ok(None)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Option<String>> {
        let found = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned());
        Ok(of_task(found)?.map(|share| share.to_string()))
    }

    #[test]
    fn tasks_of_jobs_have_shares() {
        assert_eq!(of(&[]).unwrap(), None);
        assert_eq!(of(&[("JOB_COMPLETION_INDEX", "2")]).unwrap(), None);
        let kubernetes = [("JOB_COMPLETION_INDEX", "2"), ("ALL_DOCS_SHARE_COUNT", "5")];
        assert_eq!(of(&kubernetes).unwrap().unwrap(), "3/5");
        let cloud_run = [("CLOUD_RUN_TASK_INDEX", "0"), ("CLOUD_RUN_TASK_COUNT", "10")];
        assert_eq!(of(&cloud_run).unwrap().unwrap(), "1/10");
        assert!(of(&[("CLOUD_RUN_TASK_INDEX", "first"), ("CLOUD_RUN_TASK_COUNT", "10")]).is_err());
        let error = of(&[("CLOUD_RUN_TASK_INDEX", "10"), ("CLOUD_RUN_TASK_COUNT", "10")]).unwrap_err();
        assert!(error.to_string().contains("CLOUD_RUN_TASK_INDEX=10"), "{error}");
    }
}
