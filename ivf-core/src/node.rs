//! The contents of a component as plain data: a tag, fields, named arrays, and child components.
//!
//! `export()` returns the contents of an index, a codec or a store as a [`Node`]. File writers, GPU
//! code and the Python attributes work on this node. A component is read back from a
//! [`StoredNode`]. No caller has to downcast.

use crate::bytes::AlignedBytes;
use crate::element::ElementType;
use crate::error::DecodeError;
use crate::field::{Fields, NodeFields, Schema, Value, check_fields};
use crate::section::Section;
use crate::wire::decode_version_1;
use bytemuck::Pod;
use std::borrow::Cow;
use std::sync::Arc;

/// The element type of an array.
///
/// ```
/// use ivf_core::ElementType;
/// use ivf_core::node::{ArrayElement, DType};
/// assert_eq!((DType::U64.size(), DType::Element(ElementType::F16).size()), (8, 2));
/// assert_eq!(ivf_core::Id::DTYPE, DType::I64);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub enum DType {
    /// One of the element types of vectors.
    Element(ElementType),
    /// Unsigned 32-bit integer.
    U32,
    /// Unsigned 64-bit integer.
    U64,
    /// Signed 64-bit integer.
    I64,
}

impl DType {
    /// All element types, each with its number in files.
    pub const ALL: [(u8, DType); 8] = [
        (0, DType::Element(ElementType::F32)),
        (1, DType::Element(ElementType::F16)),
        (2, DType::Element(ElementType::Bf16)),
        (3, DType::Element(ElementType::U8)),
        (4, DType::Element(ElementType::I8)),
        (5, DType::U32),
        (6, DType::U64),
        (7, DType::I64),
    ];

    /// Returns the size of one element in bytes.
    pub fn size(self) -> usize {
        match self {
            Self::Element(element) => element.size(),
            Self::U32 => 4,
            Self::U64 | Self::I64 => 8,
        }
    }
}

/// A Rust type that is the element type of an array of a node.
pub trait ArrayElement: Pod {
    /// The element type as a value.
    const DTYPE: DType;
}

macro_rules! array_elements {
    ($($type:ty => $dtype:expr),* $(,)?) => {$(
        impl ArrayElement for $type {
            const DTYPE: DType = $dtype;
        }
    )*};
}
array_elements! {
    f32 => DType::Element(ElementType::F32),
    half::f16 => DType::Element(ElementType::F16),
    half::bf16 => DType::Element(ElementType::Bf16),
    u8 => DType::Element(ElementType::U8),
    i8 => DType::Element(ElementType::I8),
    u32 => DType::U32,
    u64 => DType::U64,
    i64 => DType::I64,
    crate::id::Id => DType::I64,
}

/// An array of a [`Node`]. Its bytes come in pieces, so that lists are written without first being
/// copied into one buffer.
///
/// ```
/// use ivf_core::node::{DType, NamedArray};
/// use std::borrow::Cow;
/// let centroids = [0.0_f32, 1.0, 2.0, 3.0];
/// let matrix = NamedArray::borrowed("centroids", &[2, 2], &centroids);
/// assert_eq!(matrix.byte_len(), 4 * 4);
/// let lens = NamedArray::owned("lens", &[3], vec![2_u64, 0, 1]); // counted during the export
/// assert_eq!((lens.dtype, lens.byte_len()), (DType::U64, 3 * 8));
///
/// // Lists go to a file one after the other, without a copy into one buffer.
/// let lists = [&[7_u32, 8][..], &[], &[9]];
/// assert_eq!(NamedArray::pieces("ids", lists).shape, [3]);
/// // A store that has only the bytes of its ids names their type.
/// let bytes = [Cow::Borrowed(&[7, 0, 0, 0][..]), Cow::Borrowed(&[8, 0, 0, 0][..])];
/// assert_eq!(NamedArray::bytes::<u32>("ids", bytes).shape, [2]);
/// ```
#[derive(Clone, Debug)]
pub struct NamedArray<'a> {
    /// The name, unique in its node.
    pub name: String,
    /// The element type.
    pub dtype: DType,
    /// The lengths of the axes, outermost (slowest varying) first. Their product times the element
    /// size is the length in bytes.
    pub shape: Vec<u64>,
    /// The bytes in pieces, in order, little-endian.
    pub pieces: Vec<Cow<'a, [u8]>>,
}

impl<'a> NamedArray<'a> {
    /// Creates an array that borrows `data` as one piece.
    ///
    /// # Panics
    /// If the product of `shape` is not `data.len()`.
    pub fn borrowed<T: ArrayElement>(name: &str, shape: &[u64], data: &'a [T]) -> Self {
        Self::new::<T>(name, shape, vec![Cow::Borrowed(bytemuck::cast_slice(data))])
    }

    /// Creates an array that owns `data`, for values that are computed during the export.
    ///
    /// # Panics
    /// If the product of `shape` is not `data.len()`.
    pub fn owned<T: ArrayElement>(name: &str, shape: &[u64], data: Vec<T>) -> Self {
        Self::new::<T>(name, shape, vec![Cow::Owned(bytemuck::cast_slice(&data).to_vec())])
    }

    /// Creates a one-dimensional array from pieces.
    pub fn pieces<T: ArrayElement>(name: &str, pieces: impl IntoIterator<Item = &'a [T]>) -> Self {
        Self::bytes::<T>(name, pieces.into_iter().map(|piece| Cow::Borrowed(bytemuck::cast_slice(piece))))
    }

    /// Creates a one-dimensional array of elements of `T` from its bytes in pieces.
    ///
    /// # Panics
    /// If the number of bytes is not a multiple of the element size.
    pub fn bytes<T: ArrayElement>(name: &str, pieces: impl IntoIterator<Item = Cow<'a, [u8]>>) -> Self {
        let pieces: Vec<Cow<'a, [u8]>> = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
        let bytes: usize = pieces.iter().map(|piece| piece.len()).sum();
        Self::new::<T>(name, &[(bytes / size_of::<T>()) as u64], pieces)
    }

    fn new<T: ArrayElement>(name: &str, shape: &[u64], pieces: Vec<Cow<'a, [u8]>>) -> Self {
        let array = Self { name: name.to_owned(), dtype: T::DTYPE, shape: shape.to_vec(), pieces };
        let elements: u64 = shape.iter().product();
        assert_eq!(
            elements * size_of::<T>() as u64,
            array.byte_len(),
            "the shape of array {name} does not match its data"
        );
        array
    }

    /// Returns the length in bytes.
    pub fn byte_len(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.len() as u64).sum()
    }
}

/// The exported contents of a component, for a writer or an inspector.
///
/// The node of a component that has a number, a table and another component:
///
/// ```
/// use ivf_core::Node;
/// use ivf_core::node::NamedArray;
/// let table = [1.0_f32, 2.0];
/// let mut node = Node::new("scaler", 0).with("clip", 3_u64);
/// node.push(NamedArray::borrowed("table", &[2], &table));
/// node.push_child("codec", Node::new("flat", 0).with("dim", 2_u64));
///
/// assert_eq!(node.array("table").map(|array| &array.shape[..]), Some(&[2][..]));
/// assert_eq!(node.child("codec").and_then(|codec| codec.fields.value("dim")), Some(&2_u64.into()));
/// assert!(node.same(&node.clone()) && !node.same(&node.clone().with("clip", 4_u64)));
/// ```
#[derive(Clone, Debug)]
pub struct Node<'a> {
    /// The tag of the component's kind. The registry row with this tag reads the node back.
    pub tag: String,
    /// The version of the kind's fields and arrays.
    pub version: u16,
    /// The small values by name: metric, dimension, settings.
    pub fields: Fields,
    /// The bulk data.
    pub arrays: Vec<NamedArray<'a>>,
    /// The child components by name.
    pub children: Vec<(String, Node<'a>)>,
}

impl<'a> Node<'a> {
    /// Creates a node without fields, arrays and children.
    pub fn new(tag: &str, version: u16) -> Self {
        Self { tag: tag.to_owned(), version, fields: Fields::new(), arrays: Vec::new(), children: Vec::new() }
    }

    /// Returns the node with a field added or replaced.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.set(name, value);
        self
    }

    /// Returns the array `name`.
    pub fn array(&self, name: &str) -> Option<&NamedArray<'a>> {
        self.arrays.iter().find(|array| array.name == name)
    }

    /// Returns the child component `name`.
    pub fn child(&self, name: &str) -> Option<&Node<'a>> {
        self.children.iter().find(|(known, _)| known == name).map(|(_, child)| child)
    }

    /// Adds an array.
    pub fn push(&mut self, array: NamedArray<'a>) {
        self.arrays.push(array);
    }

    /// Adds a child component.
    pub fn push_child(&mut self, name: &str, child: Node<'a>) {
        self.children.push((name.to_owned(), child));
    }

    /// Returns true if both nodes have the same tag, version, fields, arrays and children. Two
    /// components with equal nodes have learnt the same.
    pub fn same(&self, other: &Node<'_>) -> bool {
        (&self.tag, self.version, &self.fields) == (&other.tag, other.version, &other.fields)
            && self.arrays.len() == other.arrays.len()
            && self.children.len() == other.children.len()
            && self.arrays.iter().zip(&other.arrays).all(|(a, b)| {
                (&a.name, a.dtype, &a.shape) == (&b.name, b.dtype, &b.shape) && a.pieces.concat() == b.pieces.concat()
            })
            && self.children.iter().zip(&other.children).all(|((a, x), (b, y))| a == b && x.same(y))
    }

    /// Copies the node into memory, in the form in which a reader of files returns it.
    pub fn to_stored(&self) -> StoredNode {
        StoredNode {
            tag: self.tag.clone(),
            version: self.version,
            fields: StoredFields::Named(self.fields.clone()),
            arrays: self
                .arrays
                .iter()
                .map(|array| StoredArray {
                    name: array.name.clone(),
                    dtype: array.dtype,
                    shape: array.shape.clone(),
                    bytes: Arc::new(AlignedBytes::copy_of(&array.pieces.concat())),
                })
                .collect(),
            children: self.children.iter().map(|(name, child)| (name.clone(), child.to_stored())).collect(),
        }
    }
}

/// An array of a [`StoredNode`].
#[derive(Clone, Debug)]
pub struct StoredArray {
    /// The name, unique in its node.
    pub name: String,
    /// The element type.
    pub dtype: DType,
    /// The lengths of the axes. A reader of files has checked that they match the length of
    /// `bytes`.
    pub shape: Vec<u64>,
    /// The bytes, little-endian.
    pub bytes: Arc<dyn Section>,
}

/// The fields of a stored node, in the form that the file has.
#[derive(Clone, Debug, PartialEq)]
pub enum StoredFields {
    /// Fields with names.
    Named(Fields),
    /// Fields as version 1 of the index file wrote them: values without names, in the order of the
    /// kind's [`Schema`].
    Version1(Vec<u8>),
}

/// The contents of a component as they were read from a file. Nothing in it has been validated yet.
///
/// A reader takes nothing for granted, because the node may come from a damaged file:
///
/// ```
/// use ivf_core::error::DecodeError;
/// use ivf_core::field::{Field, FieldType};
/// use ivf_core::node::{NamedArray, Node, StoredNode};
///
/// fn read(node: &StoredNode) -> Result<Vec<f32>, DecodeError> {
///     node.expect_version(0)?;
///     let dim = node.fields(&[Field::new("dim", FieldType::UInt)])?.dim("dim")?;
///     let table = node.array::<f32>("table")?;
///     match table.len() == dim {
///         true => Ok(table.to_vec()),
///         false => Err(DecodeError::value(&node.tag, format!("a table of {} for {dim} dimensions", table.len()))),
///     }
/// }
///
/// let mut node = Node::new("scaler", 0).with("dim", 2_u64);
/// let refused = read(&node.to_stored()).map_err(|error| error.to_string());
/// assert_eq!(refused, Err("scaler has no array 'table'".to_owned()));
/// node.push(NamedArray::owned("table", &[2], vec![1.0_f32, 2.0]));
/// assert_eq!(read(&node.to_stored())?, [1.0, 2.0]);
/// # Ok::<(), DecodeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct StoredNode {
    /// The tag of the component's kind.
    pub tag: String,
    /// The version of the kind's fields and arrays.
    pub version: u16,
    /// The fields, which [`StoredNode::fields`] decodes.
    pub fields: StoredFields,
    /// The bulk data.
    pub arrays: Vec<StoredArray>,
    /// The child components by name.
    pub children: Vec<(String, StoredNode)>,
}

impl StoredNode {
    /// Checks that the version of the node is at most `supported`.
    ///
    /// # Errors
    /// [`DecodeError::Version`] if it is newer.
    pub fn expect_version(&self, supported: u16) -> Result<(), DecodeError> {
        if self.version > supported {
            return Err(DecodeError::Version { tag: self.tag.clone(), found: self.version, supported });
        }
        Ok(())
    }

    /// Decodes the fields and checks them against the kind's schema.
    ///
    /// # Errors
    /// [`DecodeError::Meta`] if they do not decode, [`DecodeError::Missing`] or
    /// [`DecodeError::Value`] if they do not match the schema.
    pub fn fields(&self, schema: &Schema) -> Result<NodeFields<'_>, DecodeError> {
        let fields = match &self.fields {
            StoredFields::Named(fields) => Cow::Borrowed(fields),
            StoredFields::Version1(bytes) => Cow::Owned(decode_version_1(&self.tag, bytes, schema)?),
        };
        check_fields(&self.tag, &fields, schema)?;
        Ok(NodeFields { tag: &self.tag, fields })
    }

    /// Returns the whole array `name` as elements of `T`. The bytes are in memory, and their
    /// checksum has been verified where one is known.
    ///
    /// # Errors
    /// [`DecodeError::Missing`] if there is no such array, [`DecodeError::Value`] if it has another
    /// element type, or the error of [`Section::whole`].
    pub fn array<T: ArrayElement>(&self, name: &str) -> Result<&[T], DecodeError> {
        bytemuck::try_cast_slice(self.section::<T>(name)?.whole()?)
            .map_err(|_| DecodeError::value(&self.tag, format!("array '{name}' is truncated or misaligned")))
    }

    /// Returns the section that holds the bytes of the array `name`, whose elements are of type
    /// `T`. For callers that read the array piecewise.
    ///
    /// ```
    /// use ivf_core::node::{NamedArray, Node};
    /// let mut node = Node::new("lists", 0);
    /// node.push(NamedArray::owned("codes", &[3], vec![7_u8, 8, 9]));
    /// let stored = node.to_stored();
    /// assert_eq!(&*stored.section::<u8>("codes")?.part(1..2)?, [8]); // reads one byte of the file
    /// assert!(stored.section::<f32>("codes").is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`DecodeError::Missing`] if there is no such array, or [`DecodeError::Value`] if it has
    /// another element type.
    pub fn section<T: ArrayElement>(&self, name: &str) -> Result<&Arc<dyn Section>, DecodeError> {
        let array = self.stored_array(name)?;
        if array.dtype != T::DTYPE {
            let what = format!("array '{name}' has elements of {:?}, expected {:?}", array.dtype, T::DTYPE);
            return Err(DecodeError::value(&self.tag, what));
        }
        Ok(&array.bytes)
    }

    /// Returns the array `name` as it was read.
    ///
    /// ```
    /// use ivf_core::node::{NamedArray, Node};
    /// let mut node = Node::new("table", 0);
    /// node.push(NamedArray::owned("rows", &[2, 3], vec![0_u8; 6]));
    /// assert_eq!(node.to_stored().stored_array("rows")?.shape, [2, 3]);
    /// # Ok::<(), ivf_core::error::DecodeError>(())
    /// ```
    ///
    /// # Errors
    /// [`DecodeError::Missing`] if there is no such array.
    pub fn stored_array(&self, name: &str) -> Result<&StoredArray, DecodeError> {
        self.arrays.iter().find(|array| array.name == name).ok_or_else(|| self.missing("array", name))
    }

    /// Returns the child component `name`.
    ///
    /// ```
    /// use ivf_core::Node;
    /// let mut node = Node::new("outer", 0);
    /// node.push_child("codec", Node::new("flat", 0));
    /// let stored = node.to_stored();
    /// assert_eq!(stored.child("codec")?.tag, "flat");
    /// assert!(stored.child("quantizer").is_err());
    /// # Ok::<(), ivf_core::error::DecodeError>(())
    /// ```
    ///
    /// # Errors
    /// [`DecodeError::Missing`] if there is no such child.
    pub fn child(&self, name: &str) -> Result<&StoredNode, DecodeError> {
        let child = self.children.iter().find(|(known, _)| known == name);
        child.map(|(_, node)| node).ok_or_else(|| self.missing("child", name))
    }

    fn missing(&self, what: &'static str, name: &str) -> DecodeError {
        DecodeError::Missing { tag: self.tag.clone(), what, name: name.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::{Field, FieldType};

    #[test]
    fn a_node_is_read_as_it_was_exported() {
        let data = [1.0_f32, 2.0, 3.0];
        let mut node = Node::new("thing", 1).with("n", 7_u64);
        node.push(NamedArray::borrowed("a", &[3], &data));
        node.push(NamedArray::pieces("b", [&[1u64, 2][..], &[], &[3]]));
        node.push_child("part", Node::new("part", 0));
        let stored = node.to_stored();
        const SCHEMA: &Schema = &[Field::new("n", FieldType::UInt)];
        assert_eq!(stored.fields(SCHEMA).unwrap().get::<u64>("n").unwrap(), 7);
        assert!(stored.fields(&[]).is_err());
        assert_eq!(stored.array::<f32>("a").unwrap(), data);
        assert_eq!(stored.array::<u64>("b").unwrap(), [1, 2, 3]);
        assert_eq!(stored.child("part").unwrap().tag, "part");
        assert!(matches!(stored.array::<u8>("a"), Err(DecodeError::Value { .. })));
        assert!(matches!(stored.array::<u8>("c"), Err(DecodeError::Missing { .. })));
        assert!(matches!(stored.child("c"), Err(DecodeError::Missing { .. })));
        assert!(matches!(stored.expect_version(0), Err(DecodeError::Version { .. })));
    }
}
