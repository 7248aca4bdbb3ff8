//! The macro that declares the columns of a table's file, each once.

/// Makes the builder of a table from its columns: the struct with a builder for each column, `COLUMNS` (their
/// descriptions, in the same order), and the methods `rows`, `buffered_bytes` and `take_batch`. The first column is
/// `name`.
///
/// A column is `name: Builder = required("What it says.").in_unit("bytes"),` or `optional(…)`; the calls after it are
/// those of [`ColumnSpec`](super::spec::ColumnSpec). Members under `with` are no columns: they remember the rows so
/// far, and are reset with them.
macro_rules! columns {
    (
        $(#[$attribute:meta])*
        $visibility:vis struct $table:ident of $kind:ident {
            $($column:ident: $builder:ident = $nullability:ident($doc:expr) $(.$hint:ident($($argument:expr),*))*,)+
        }
        $(with { $($(#[$state_attribute:meta])* $state:ident: $state_type:ty,)+ })?
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Default)]
        $visibility struct $table {
            $($column: $builder,)+
            $($($(#[$state_attribute])* $state: $state_type,)+)?
        }

        impl $table {
            pub(super) const COLUMNS: &'static [$crate::table::spec::ColumnSpec] = &[$(
                $crate::table::spec::ColumnSpec::$nullability(
                    stringify!($column),
                    <$builder as $crate::table::column::TypedColumn>::TYPE,
                    $doc,
                )$(.$hint($($argument),*))*
            ),+];

            /// Returns the number of rows since the last batch.
            $visibility fn rows(&self) -> usize {
                self.name.rows()
            }

            /// Returns about how many bytes the rows since the last batch take.
            $visibility fn buffered_bytes(&self) -> usize {
                0 $(+ $crate::table::column::Column::size_bytes(&self.$column))+
            }

            /// Returns the rows since the last batch. Fails only by a bug of this program.
            $visibility fn take_batch(&mut self) -> $crate::error::Result<arrow::array::RecordBatch> {
                $($(self.$state = Default::default();)+)?
                $crate::table::schema::record_batch($crate::table::TableKind::$kind, &mut [$(&mut self.$column),+])
            }
        }
    };
}
