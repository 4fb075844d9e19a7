//! Enums whose values have names.

/// Declares an enum whose values have names, which are used on the wire and as metric labels.
///
/// Generates `ALL`, `as_str`, `from_name` and `Display`.
macro_rules! words {
    (
        $(#[$meta:meta])*
        pub enum $Enum:ident {
            $($(#[$variant_meta:meta])* $Variant:ident = $word:literal,)+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $Enum {
            $($(#[$variant_meta])* $Variant,)+
        }

        words!(@names $Enum { $($Variant = $word,)+ });
    };

    // The names of an enum that is declared elsewhere, and of a value that is not in `ALL`.
    (
        @names $Enum:ident {
            $($Variant:ident = $word:literal,)+
        }
        $($Other:ident = $other:literal)?
    ) => {
        impl $Enum {
            /// All values that this version knows, in order.
            pub const ALL: [Self; [$($word),+].len()] = [$(Self::$Variant),+];

            /// Returns the name, as on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$Variant => $word,)+
                    $(Self::$Other => $other,)?
                }
            }

            /// Returns the value with this name, if this version knows it.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($word => Some(Self::$Variant),)+
                    _ => None,
                }
            }
        }

        impl std::fmt::Display for $Enum {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}
