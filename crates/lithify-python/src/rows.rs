//! Elements that come many at a time, as arrays that have a row for each. None of them is looked at one by one where they are numbers.

use lithify::source::live::{BATCH_BYTES, BATCH_ELEMENTS, Batch, Builder};
use lithify::value::DType;
use numpy::{PyUntypedArray, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::bridge::Give;
use crate::memory::copy;
use crate::values::{Items, Path, each_part, in_order, kind_of, string_of, strings_of};

/// Elements of a batch, at most, that are alike.
const MOST_ALIKE: usize = 16 * BATCH_ELEMENTS;

/// One feature of many elements.
struct Column<'py> {
    name: String,
    /// The shape of an item: of a row, or of what a row has many of.
    shape: Vec<u64>,
    items: Values<'py>,
    /// Where each row starts in the items, and the last ends, if rows differ in how many they have.
    splits: Option<Vec<usize>>,
}

enum Values<'py> {
    Numbers(Bound<'py, PyUntypedArray>, DType),
    /// All of them, and how many an item has.
    Strings(Bound<'py, PyList>, usize),
}

impl Column<'_> {
    /// Bytes of an item.
    fn item_bytes(&self) -> usize {
        match &self.items {
            Values::Numbers(_, dtype) => dtype.size() * self.count(),
            Values::Strings(..) => 0,
        }
    }

    /// How many values an item has.
    fn count(&self) -> usize {
        self.shape.iter().map(|size| usize::try_from(*size).unwrap_or(usize::MAX)).product()
    }

    /// Whether all rows are alike in all but their values.
    fn is_alike(&self) -> bool {
        matches!(self.items, Values::Numbers(..)) && self.splits.is_none()
    }

    /// Adds a row to an element.
    fn add(&self, row: usize, out: &mut Builder) -> PyResult<()> {
        let (start, stop, shape) = match &self.splits {
            None => (row, row + 1, self.shape.clone()),
            Some(splits) => {
                let (start, stop) = (splits[row], splits[row + 1]);
                (start, stop, [&[(stop - start) as u64], &self.shape[..]].concat())
            }
        };
        match &self.items {
            Values::Numbers(array, dtype) => {
                let item = self.item_bytes();
                let (start, bytes) = (start * item, (stop - start) * item);
                out.numbers(&self.name, *dtype, &shape, |out| copy(array, start, bytes, out))
            }
            Values::Strings(all, each) => {
                let items: Vec<_> =
                    (start * each..stop * each).map(|at| all.get_item(at)).collect::<PyResult<_>>()?;
                let mut path = Path::default();
                let strings = path.within(&self.name, |path| {
                    items.iter().map(|item| string_of(item, path)).collect::<PyResult<Vec<_>>>()
                })?;
                out.strings(&self.name, &shape, strings);
                Ok(())
            }
        }
    }
}

/// Gives elements that come many at a time: arrays in dicts and tuples within each other, and `lithify._live.Ragged` where rows differ in
/// length. Says whether more are wanted.
///
/// # Errors
/// Arrays have not the same number of rows, or are no arrays; what `give` says.
pub fn give_rows(item: &Bound<'_, PyAny>, path: &mut Path, give: &mut Give<'_>) -> PyResult<bool> {
    let mut all = Columns::default();
    all.collect(item, path, 0)?;
    let Columns { columns, rows } = all;
    let rows = rows.unwrap_or_default();
    let alike = columns.iter().all(Column::is_alike);
    let row: usize = columns.iter().map(Column::item_bytes).sum();
    let together = (BATCH_BYTES / row.max(1)).clamp(1, MOST_ALIKE);
    if !alike {
        return give_each(&columns, rows, give);
    }
    for start in (0..rows).step_by(together) {
        if !give(alike_rows(&columns, start, rows.min(start + together))?)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn alike_rows(columns: &[Column<'_>], start: usize, stop: usize) -> PyResult<Batch> {
    let mut features = Vec::with_capacity(columns.len());
    let mut arrays = Vec::with_capacity(columns.len());
    for column in columns {
        let Values::Numbers(array, dtype) = &column.items else { continue };
        features.push((&column.name[..], *dtype, &column.shape[..]));
        arrays.push((array, column.item_bytes()));
    }
    Batch::alike((stop - start) as u64, &features, |number, out| {
        let (array, row) = arrays[number];
        copy(array, start * row, (stop - start) * row, out)
    })
}

fn give_each(columns: &[Column<'_>], rows: usize, give: &mut Give<'_>) -> PyResult<bool> {
    let mut builder = Builder::default();
    for row in 0..rows {
        columns.iter().try_for_each(|column| column.add(row, &mut builder))?;
        // Names were looked at when the columns were collected.
        let _ = builder.end_element();
        if builder.is_full() && !give(builder.take())? {
            return Ok(false);
        }
    }
    if builder.is_empty() { Ok(true) } else { give(builder.take()) }
}

#[derive(Default)]
struct Columns<'py> {
    columns: Vec<Column<'py>>,
    rows: Option<usize>,
}

impl<'py> Columns<'py> {
    fn collect(&mut self, item: &Bound<'py, PyAny>, path: &mut Path, depth: usize) -> PyResult<()> {
        each_part(item, path, depth, &mut |item, path, depth| {
            if let Ok(array) = item.cast::<PyUntypedArray>() {
                return self.add_array(array, None, path);
            }
            let live = item.py().import("lithify._live")?;
            if item.is_instance(&live.getattr("Ragged")?)? {
                let splits: Vec<usize> = item.getattr("splits")?.call_method0("tolist")?.extract()?;
                return self.add_array(item.getattr("values")?.cast()?, Some(splits), path);
            }
            let known = live.getattr("known_rows")?.call1((item, path.feature()))?;
            self.collect(&known, path, depth + 1)
        })
    }

    fn add_array(
        &mut self,
        array: &Bound<'py, PyUntypedArray>,
        splits: Option<Vec<usize>>,
        path: &mut Path,
    ) -> PyResult<()> {
        let Some((items, shape)) = array.shape().split_first() else {
            return Err(path.refuse("it is no batch: it has no axis"));
        };
        let sound =
            |splits: &Vec<usize>| splits.is_sorted() && splits.last().is_none_or(|last| last <= items);
        if splits.as_ref().is_some_and(|splits| splits.is_empty() || !sound(splits)) {
            return Err(path.refuse("its row splits are not those of its values"));
        }
        let rows = splits.as_ref().map_or(*items, |splits| splits.len() - 1);
        if *self.rows.get_or_insert(rows) != rows {
            let first = self.rows.unwrap_or_default();
            return Err(path.refuse(&format!("the batch has {rows} rows of it, and {first} of others")));
        }
        let values = match kind_of(array, path)? {
            Items::Numbers(dtype) => Values::Numbers(in_order(array)?, dtype),
            Items::Strings => Values::Strings(strings_of(array)?, shape.iter().product()),
            Items::Fields(names) => {
                return names.iter().try_for_each(|name| {
                    let field = array.get_item(name)?;
                    path.within(name, |path| self.add_array(field.cast()?, splits.clone(), path))
                });
            }
        };
        if self.columns.iter().any(|column| column.name == path.feature()) {
            return Err(path.refuse("two features have this name"));
        }
        let shape = shape.iter().map(|size| *size as u64).collect();
        self.columns.push(Column { name: path.feature().to_owned(), shape, items: values, splits });
        Ok(())
    }
}
