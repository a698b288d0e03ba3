//! Which part a seam holds: the names that a config, a checkpoint and a `config.json` have for it.
//!
//! One enum a seam: the parts that ship, and `custom` for a part from outside, which [`crate::Parts`] must then hold.

use serde::{Deserialize, Serialize};

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident {
        $($(#[$variant_doc:meta])* $variant:ident = $label:literal),*
    })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "kind", deny_unknown_fields)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $label)] $variant {},)*
            /// A part from outside of this crate.
            #[serde(rename = "custom")]
            Custom {
                /// The name that it was put in with.
                name: String,
            },
        }

        impl $name {
            /// The part's name.
            pub fn name(&self) -> &str {
                match self {
                    $(Self::$variant {} => $label,)*
                    Self::Custom { name } => name,
                }
            }

            /// The part called `name`: one that ships, or one from outside.
            pub fn named(name: &str) -> Self {
                match name {
                    $($label => Self::$variant {},)*
                    other => Self::Custom { name: other.to_owned() },
                }
            }
        }
    )*};
}

kinds! {
    /// Embeddings.
    EmbeddingsKind {
        /// Word + position + segment, LayerNorm, dropout.
        Token = "token"
    }
    /// What the two networks' embeddings have in common.
    SharingKind {
        /// One embedding block, LayerNorm included, used by both networks (the reference).
        Tied = "tied",
        /// Each network its own block.
        Untied = "untied"
    }
    /// What all layers share about positions.
    PositionsKind {
        /// Nothing: the embeddings carry the positions.
        Absolute = "absolute"
    }
    /// How a layer composes its sub-layers.
    BlockKind {
        /// LayerNorm behind each residual connection (the reference).
        PostNorm = "post-norm",
        /// LayerNorm in front of each sub-layer, and one behind the last layer.
        PreNorm = "pre-norm"
    }
    /// Self-attentions.
    AttentionKind {
        /// Scaled dot products and a softmax.
        Softmax = "softmax"
    }
    /// Feed-forward layers.
    FeedForwardKind {
        /// Two dense layers around an exact gelu.
        GeluMlp = "gelu-mlp"
    }
}
