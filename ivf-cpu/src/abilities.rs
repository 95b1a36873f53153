//! One line for each ability of an index.

/// Implements `as_*` methods of [`Index`](ivf_core::Index).
///
/// Abilities under `own` are those of the index itself. Abilities under `given` are, too, provided
/// that the index in the field has the same ability. Abilities under `of` are those of the index in
/// the field.
macro_rules! abilities {
    ($($how:ident $field:ident { $($mutability:ident $method:ident: $ability:ident),* $(,)? })*) => {
        $($(abilities!(@ $how $field $mutability $method $ability);)*)*
    };
    (@ own $field:ident mut $method:ident $ability:ident) => {
        fn $method(&mut self) -> Option<&mut dyn ivf_core::$ability> {
            Some(self)
        }
    };
    (@ own $field:ident shared $method:ident $ability:ident) => {
        fn $method(&self) -> Option<&dyn ivf_core::$ability> {
            Some(self)
        }
    };
    (@ given $field:ident mut $method:ident $ability:ident) => {
        fn $method(&mut self) -> Option<&mut dyn ivf_core::$ability> {
            self.$field.$method()?;
            Some(self)
        }
    };
    (@ given $field:ident shared $method:ident $ability:ident) => {
        fn $method(&self) -> Option<&dyn ivf_core::$ability> {
            self.$field.$method()?;
            Some(self)
        }
    };
    (@ of $field:ident mut $method:ident $ability:ident) => {
        fn $method(&mut self) -> Option<&mut dyn ivf_core::$ability> {
            self.$field.$method()
        }
    };
    (@ of $field:ident shared $method:ident $ability:ident) => {
        fn $method(&self) -> Option<&dyn ivf_core::$ability> {
            self.$field.$method()
        }
    };
}
pub(crate) use abilities;
