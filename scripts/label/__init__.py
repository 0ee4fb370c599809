"""Review of the labels in MONAI Label: cut a study into what Label can show, serve it, collect what reviewers saved.

A folder STUDIES holds everything:

| path | content |
|---|---|
| `NAME_slice-00.nii.gz` ... | what Label serves: one slice (X, Y, T), time as the third axis; 00 is the base |
| `cines/NAME` | the study that the slices were cut from: NIfTI and `study.json` with the true affine |
| `labels`, `datastore_v2.json` | MONAI Label's own; `labels/final` is the last save of each slice |
| `reviews/IMAGE` | every save of a reviewer, with who and when: `TIME.nii.gz` and `TIME.json` |
| `server` | the app that Label runs, with a copy of the bundle that "Train" may change, and its log |
"""
