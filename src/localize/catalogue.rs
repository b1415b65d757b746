//! The catalogue of fault kinds: one entry a kind.

/// The six categories of Fix-Con / FetaFix (arXiv 2312.15101, section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Category {
    /// Preprocessing.
    PP,
    /// Input dimensions.
    ID,
    /// Tensor shape and structure.
    TS,
    /// Weights and biases.
    WB,
    /// Layer hyperparameters.
    LH,
    /// Computation graph.
    CG,
}

impl Category {
    /// The two letters.
    pub fn id(self) -> &'static str {
        match self {
            Self::PP => "PP",
            Self::ID => "ID",
            Self::TS => "TS",
            Self::WB => "WB",
            Self::LH => "LH",
            Self::CG => "CG",
        }
    }

    /// The category in words.
    pub fn name(self) -> &'static str {
        match self {
            Self::PP => "preprocessing",
            Self::ID => "input dimensions",
            Self::TS => "tensor shape and structure",
            Self::WB => "weights and biases",
            Self::LH => "layer hyperparameters",
            Self::CG => "computation graph",
        }
    }
}

macro_rules! catalogue {
    ($($variant:ident $category:ident $id:literal $name:literal $explanation:literal;)*) => {
        /// A kind of fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(missing_docs)]
        pub enum Kind { $($variant),* }

        impl Kind {
            /// All kinds, by category.
            pub const ALL: &'static [Kind] = &[$(Kind::$variant),*];

            /// The id that JSON, the log and the documentation use.
            pub fn id(self) -> &'static str {
                match self { $(Kind::$variant => $id),* }
            }
            /// A short name.
            pub fn name(self) -> &'static str {
                match self { $(Kind::$variant => $name),* }
            }
            /// What is wrong in the target, how it shows and how it is mended.
            pub fn explanation(self) -> &'static str {
                match self { $(Kind::$variant => $explanation),* }
            }
            /// The category the kind belongs to.
            pub fn category(self) -> Category {
                match self { $(Kind::$variant => Category::$category),* }
            }
            /// The kind of this id, in any case.
            pub fn from_id(id: &str) -> Option<Kind> {
                Self::ALL.iter().copied().find(|k| k.id().eq_ignore_ascii_case(id))
            }
        }
    };
}

catalogue! {
    PpScale PP "PP-SCALE" "pixel range" "The target's recipe scales pixels to another range (0..255, 0..1, -1..1) than the network was trained for. Both input tensors are related by one affine map, and the target agrees as soon as it is given the source's tensor. Mended in the target's recipe: scale, mean, std.";
    PpNorm PP "PP-NORM" "mean and std" "Mean or standard deviation of the target's recipe differ or are missing: an affine map for each channel lies between both input tensors. Mended in the target's recipe: mean, std.";
    PpChannels PP "PP-CHANNELS" "channel order" "The target's recipe gives red, green and blue in another order than the network expects. Mended in the target's recipe: channels.";
    PpResize PP "PP-RESIZE" "resize filter" "The target's recipe resizes with another filter, or without antialiasing: a small difference at high frequencies. Mended in the target's recipe: filter.";
    PpCrop PP "PP-CROP" "resize and crop" "The target's recipe squashes, crops or letterboxes where the source's does another of these: a geometric difference. Mended in the target's recipe: resize, resize_to.";
    PpBaked PP "PP-BAKED" "built-in normalisation" "The normalisation that the converter built into the graph is missing, doubled or wrong: the first region stands above the floor by an affine map. Mended in that node, or in the recipe.";
    IdLayout ID "ID-LAYOUT" "layout of the input" "The declared input takes NCHW for NHWC or the other way round: the target agrees, or runs at all, once the axes of its input are permuted. Mended by the input's declared shape with a Transpose, or in the recipe.";
    IdSize ID "ID-SIZE" "size of the input" "The declared height or width is not the one the network was made for. Shapes clash further down, or a flatten gets another length. Mended in the declared shape of the input, or in the recipe.";
    IdBatch ID "ID-BATCH" "batch or rank of the input" "The batch axis is missing or fixed wrongly, so that the target runs for one batch size only or not at all. Mended in the declared shape of the input.";
    IdDtype ID "ID-DTYPE" "element type of the input" "The declared element type of the input does not fit the nodes that read it. Mended by the declared type, or a Cast.";
    TsPerm TS "TS-PERM" "order of axes" "A Transpose has the wrong perm, is missing, or is there once too often: values are equal up to a permutation of axes. Mended by the perm, or by inserting or removing a Transpose.";
    TsFlatten TS "TS-FLATTEN" "order of flattening" "A value is flattened in the order of the other layout: equal up to a permutation within the flattened axis. Mended by a Transpose before it, or by permuting the rows of the next weight.";
    TsAxis TS "TS-AXIS" "axis" "An operator (Softmax, Concat, Reduce, Gather, Split, LayerNormalization, ...) works along the wrong axis. Mended in the attribute or the axes input.";
    TsReshape TS "TS-RESHAPE" "shape of a Reshape" "A Reshape gives another shape than the source has there: same values, other shape. Mended in the shape constant.";
    TsOutput TS "TS-OUTPUT" "outputs" "The body is right, but the outputs are exchanged, another tensor is given as output, or a last Softmax is missing or doubled. Mended in the graph's outputs.";
    WbValues WB "WB-VALUES" "weights" "Weights differ from the source's in part or by a factor (noise, a slice of zeros, a scale). Mended by taking the source's tensor in the target's layout and folding.";
    WbPrecision WB "WB-PRECISION" "rounded weights" "The weights of one layer are rounded too coarsely: the differences to the source's look like a rounding grid. Mended by taking the source's tensor.";
    WbBias WB "WB-BIAS" "bias" "A bias was dropped, zeroed, negated, or is another layer's: the output is off by a constant for each channel. Mended by the source's bias, which is added where there is none.";
    WbLayout WB "WB-LAYOUT" "layout of weights" "A kernel is transposed, flipped, or its channels are permuted: the weights equal the source's up to a permutation that the target's layout does not explain. Mended by permuting them back.";
    WbSwap WB "WB-SWAP" "exchanged weights" "Two layers carry each other's weights. Mended by exchanging them back, both at once.";
    WbNorm WB "WB-NORM" "normalisation parameters" "Mean, variance, scale or shift of a normalisation differ: the output is off by an affine map for each channel. Mended by the source's parameter, folded as the target folds it.";
    WbQuant WB "WB-QUANT" "quantisation parameters" "A scale or zero point is wrong: the error is linear in the quantised value, or it saturates. Mended by the scale or zero point that fits the source's values.";
    LhPads LH "LH-PADS" "padding" "pads or auto_pad of a convolution or pooling, or a Pad node, differ from the source's: errors at the borders, or a shift of the whole. Mended in pads, auto_pad or the Pad node.";
    LhStride LH "LH-STRIDE" "stride or dilation" "strides or dilations differ while the shape was kept by pads: errors everywhere. Mended in the attribute.";
    LhPool LH "LH-POOL" "pooling" "count_include_pad, ceil_mode, the kernel, or average against maximum differ. Mended in the attribute, or by the source's operator.";
    LhEps LH "LH-EPS" "epsilon" "epsilon of a normalisation differs: errors where the variance is small. Mended in the attribute.";
    LhAct LH "LH-ACT" "activation parameters" "Bounds of a Clip, alpha or beta, or the approximation of an activation differ: errors where the input lies in the changed part of the curve. Mended in the attribute or the constant input.";
    LhGemm LH "LH-GEMM" "Gemm parameters" "alpha, beta, transA or transB of a Gemm differ: scaled results, or shapes that clash. Mended in the attribute.";
    LhResize LH "LH-RESIZE" "resize parameters" "Coordinate transformation, nearest mode or cubic coefficient of a Resize differ: a sub-pixel shift. Mended in the attribute.";
    LhGroup LH "LH-GROUP" "groups" "group of a convolution differs: it does not run, or mixes channels. Mended by group with the weight's layout.";
    CgMissing CG "CG-MISSING" "missing node" "A node of the source has no counterpart: the region's output equals the source's value before that node. Mended by inserting it.";
    CgExtra CG "CG-EXTRA" "extra node" "The target has a node too many: the region's input already equals the partner of its output. Mended by removing it.";
    CgOther CG "CG-OTHER" "other operator" "Another operator stands in the place of the source's, with the same inputs. Mended by the source's operator.";
    CgRewired CG "CG-REWIRED" "wrong input" "A node reads the wrong value: a skip connection from elsewhere, operands or parts of a Concat in another order. Mended by rewiring the input.";
    CgUnsupported CG "CG-UNSUPPORTED" "does not run" "The target does not load or run because of this node: an operator, domain or version that is not there, or types that do not fit. Mended by the kind behind it, or by the source's sub-graph.";
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.id())
    }
}
