"""The MONAI Deploy application: DICOM in, DICOM out.

`application`, `operators` and `inference` need the MONAI Deploy App SDK (`make deploy-env`); the writers do not.
"""
