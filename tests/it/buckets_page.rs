//! The statements and settings of `docs/buckets.md`: each is parsed. No engine runs here; DuckDB reads a lake in a bucket
//! in the end-to-end tests.

use std::collections::BTreeMap;

const PAGE: &str = include_str!("../../docs/buckets.md");

/// Returns the blocks of the page by their language: the words behind the fence.
fn blocks() -> BTreeMap<&'static str, Vec<&'static str>> {
    let mut blocks: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut rest = PAGE;
    while let Some((_, opened)) = rest.split_once("```") {
        let (language, body) = opened.split_once('\n').expect("a line end behind a fence");
        let (body, after) = body.split_once("```").expect("the end of a block");
        blocks.entry(language).or_default().push(body);
        rest = after;
    }
    blocks
}

#[test]
fn the_policies_and_rules_are_json_and_grant_what_a_lake_needs() {
    let blocks = blocks();
    let parsed: Vec<serde_json::Value> =
        blocks["json"].iter().map(|text| serde_json::from_str(text).expect("JSON")).collect();
    assert_eq!(parsed.len(), 4);
    let [rule, policy, gcs_rule, role] = &parsed[..] else { panic!("four files") };
    assert_eq!(rule["Rules"][0]["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"], 2);
    assert_eq!(policy["Statement"][0]["Action"], "s3:ListBucket");
    let actions = policy["Statement"][1]["Action"].as_array().expect("a list");
    for action in ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"] {
        assert!(actions.iter().any(|granted| granted == action), "{action}");
    }
    assert_eq!(gcs_rule["rule"][0]["action"]["type"], "AbortIncompleteMultipartUpload");
    assert_eq!(role["includedPermissions"].as_array().expect("a list").len(), 6);
}

#[cfg(feature = "query")]
#[test]
fn every_statement_is_parsed_in_the_dialect_of_its_engine() {
    use datafusion::sql::sqlparser::dialect::{
        BigQueryDialect, ClickHouseDialect, DatabricksDialect, Dialect, DuckDbDialect, HiveDialect,
    };
    use datafusion::sql::sqlparser::parser::Parser;

    // Athena takes its definitions from Hive, and Spark's SQL is nearest to that of Databricks.
    let dialects: [(&str, &dyn Dialect, usize); 5] = [
        ("sql duckdb", &DuckDbDialect {}, 4),
        ("sql clickhouse", &ClickHouseDialect {}, 3),
        ("sql bigquery", &BigQueryDialect {}, 2),
        ("sql athena", &HiveDialect {}, 2),
        ("sql spark", &DatabricksDialect {}, 2),
    ];
    let blocks = blocks();
    let engines = blocks.keys().filter(|language| language.starts_with("sql")).count();
    assert_eq!(engines, dialects.len(), "an engine of the page is not tested: {:?}", blocks.keys());
    for (language, dialect, right) in dialects {
        let mut statements = 0;
        for text in &blocks[language] {
            let parsed = Parser::parse_sql(dialect, text).unwrap_or_else(|error| panic!("{language}: {error}\n{text}"));
            statements += parsed.len();
        }
        assert_eq!(statements, right, "{language}");
    }
}
