//! Standalone codes: the list number followed by the code, as a sequence of bytes.

use super::accelerate::Assigner;
use super::add::assign_all;
use super::entries::Write;
use super::{IvfIndex, Trained};
use ivf_core::error::{AddError, CodeError, InputError};
use ivf_core::quantizer::{decode_list, encode_list, list_code_size};
use ivf_core::{AddCodes, AddOptions, AddReport, AnyRows, Id, ListNo, Settings, StandaloneCodec};

impl StandaloneCodec for IvfIndex {
    fn sa_code_size(&self) -> Result<usize, CodeError> {
        let trained = self.trained.as_ref().ok_or(CodeError::NotTrained)?;
        Ok(list_code_size(trained.quantizer.nlist()) + trained.entries.layout().code_size())
    }

    fn sa_encode(&self, rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<Vec<u8>, CodeError> {
        let trained = self.trained.as_ref().ok_or(CodeError::NotTrained)?;
        let Trained { quantizer, entries } = trained;
        rows.check(self.dim)?;
        let mut scratch = Vec::new();
        let rows = rows.to_f32(&mut scratch);
        let (params, accelerator) = (&self.assign_params(options), self.assigning(trained, &Settings::new()));
        let assigner = Assigner { quantizer: &**quantizer, accelerator, params };
        let lists = assign_all(&assigner, rows, |row| row)?;
        entries.check_residuals(rows, &lists)?;
        let codes = entries.encode(rows, &lists, options.executor);
        let list_size = list_code_size(quantizer.nlist());
        let mut out = Vec::with_capacity(rows.len() * (list_size + entries.layout().code_size()));
        for (&list, code) in lists.iter().zip(codes.chunks_exact(entries.layout().code_size())) {
            let start = out.len();
            out.resize(start + list_size, 0);
            encode_list(list, &mut out[start..]);
            out.extend_from_slice(code);
        }
        Ok(out)
    }

    fn sa_decode(&self, codes: &[u8]) -> Result<Vec<f32>, CodeError> {
        let Trained { entries, .. } = self.trained.as_ref().ok_or(CodeError::NotTrained)?;
        let (lists, codes) = self.split_codes(codes)?;
        let mut vectors = vec![0.0; lists.len() * self.dim];
        let rows = vectors.chunks_exact_mut(self.dim).zip(codes.chunks_exact(entries.layout().code_size()));
        for ((vector, code), &list) in rows.zip(&lists) {
            entries.bound.decode(list, code, vector);
        }
        Ok(vectors)
    }
}

impl AddCodes for IvfIndex {
    fn add_codes(
        &mut self,
        codes: &[u8],
        ids: Option<&[Id]>,
        options: &AddOptions<'_>,
    ) -> Result<AddReport, CodeError> {
        let (lists, codes) = self.split_codes(codes)?;
        let entries = &mut self.trained.as_mut().ok_or(CodeError::NotTrained)?.entries;
        let counted;
        let ids = match ids {
            Some(ids) => ids,
            None => {
                counted = entries.count_ids(lists.len())?;
                &counted
            }
        };
        if ids.len() != lists.len() {
            return Err(InputError::IdCount { rows: lists.len(), ids: ids.len() }.into());
        }
        entries.check_ids(ids.iter().copied())?;
        let mut write = Write::default();
        if let Err(error) = entries.append(&mut write, &lists, ids, &codes, options.executor) {
            entries.roll_back(&write).map_err(AddError::from)?;
            return Err(AddError::from(error).into());
        }
        entries.commit(write, ids.len(), ids.iter().copied().max());
        Ok(AddReport::new(ids.len(), Vec::new()))
    }
}

impl IvfIndex {
    /// Splits standalone codes into list numbers and bare codes.
    fn split_codes(&self, codes: &[u8]) -> Result<(Vec<ListNo>, Vec<u8>), CodeError> {
        let Trained { quantizer, entries } = self.trained.as_ref().ok_or(CodeError::NotTrained)?;
        let list_size = list_code_size(quantizer.nlist());
        let code_size = list_size + entries.layout().code_size();
        if !codes.len().is_multiple_of(code_size) {
            return Err(CodeError::Length { code_size, found: codes.len() });
        }
        let mut lists = Vec::with_capacity(codes.len() / code_size);
        let mut bare = Vec::with_capacity(codes.len());
        for (i, code) in codes.chunks_exact(code_size).enumerate() {
            let (list, code) = code.split_at(list_size);
            let no_list = |_| CodeError::NoSuchList {
                code: i,
                list: list.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)),
                nlist: quantizer.nlist(),
            };
            lists.push(decode_list(quantizer.nlist(), list).map_err(no_list)?);
            bare.extend_from_slice(code);
        }
        Ok((lists, bare))
    }
}
