//! The attributes that objects and fields share.

/// The attributes of all objects: camelCase, unknown values absent, a schema with feature `openapi`.
macro_rules! json_object {
    ($($item:tt)*) => {
        #[serde_with::skip_serializing_none]
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[serde(rename_all = "camelCase")]
        $($item)*
    };
}

/// The attributes of objects that the server sends: a [`json_object`], and a type in TypeScript
/// with feature `ts`.
macro_rules! response {
    ($($item:tt)*) => {
        json_object! {
            #[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
            $($item)*
        }
    };
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde's `skip_serializing_if` passes a reference to the field"
)]
pub(super) const fn is_false(value: &bool) -> bool {
    !*value
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde's `skip_serializing_if` passes a reference to the field"
)]
pub(super) const fn is_zero(value: &u64) -> bool {
    *value == 0
}
