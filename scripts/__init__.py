"""The code of the bundle hdl_mvm: a magnitude cine of the left ventricle goes in, velocity maps come out."""
