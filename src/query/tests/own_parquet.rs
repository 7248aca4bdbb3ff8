//! Tests the user's own Parquet files as tables: errors that name the file and the reason.

use serde_json::json;

use super::own_files::Files;
use crate::error::ErrorKind;
use crate::query::{Format, TableOptions, write};

#[tokio::test]
async fn a_parquet_file_that_cannot_be_read_is_named_with_the_reason() {
    let files = Files::new();
    for (name, value) in [("a", "1"), ("b", "'x'"), ("c", "2")] {
        let sql = format!("select name, {value} as n from packages");
        let stream = files.session.query(&sql).await.unwrap();
        let mut out = Vec::new();
        write(stream, Format::Parquet, &mut out, &TableOptions::default()).await.unwrap();
        files.put(&format!("{name}.parquet"), out);
    }
    let rows = files.rows("select count(*) as n from '@/[ac].parquet'".replace("[ac]", "a").as_str()).await;
    assert_eq!(rows, [json!({"n": 4})]);
    let told = async |sql: &str| {
        let error = files.error(sql).await;
        assert_eq!(error.kind(), ErrorKind::Input, "{error:?}");
        error.report()
    };
    let different = told("select * from '@/*.parquet'").await;
    assert!(different.contains("n is Utf8") && different.contains("b.parquet, and Int64 in "), "{different}");
    let mistake = told("select * from '@/b.parquet' where n = 1").await;
    assert!(mistake.contains("cannot cast string 'x'") && mistake.contains("try_cast"), "{mistake}");
    files.put("empty.parquet", "");
    for of_empty in ["select count(*) from '@/empty.parquet'", "select * from '@/e*.parquet'", "select * from '@'"] {
        assert!(told(of_empty).await.contains("empty.parquet is empty"), "{of_empty}");
    }
    files.put("empty.parquet", "PAR1 is no footer");
    for damaged in ["select * from '@/empty.parquet'", "select count(*) from '@/e*.parquet'"] {
        let told = told(damaged).await;
        assert!(told.contains("empty.parquet is no Parquet file, or is damaged"), "{told}");
    }
    let nothing = told("select * from '@/x*.parquet'").await;
    assert!(nothing.contains("there is no file") && nothing.contains("* stands for"), "{nothing}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_the_system_refuses_is_not_called_damaged() {
    use std::os::unix::fs::PermissionsExt;
    let files = Files::new();
    let path = files.put("secret.parquet", "PAR1");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
    // The administrator reads every file.
    if std::fs::read(&path).is_err() {
        let told = files.error("select * from '@/secret.parquet'").await.report();
        assert!(told.contains("cannot read the file") && !told.contains("damaged"), "{told}");
    }
}
