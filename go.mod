module bitnet

go 1.25.0
