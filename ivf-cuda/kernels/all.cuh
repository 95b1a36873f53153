// All kernels, as one translation unit.
#pragma once
#include "blocks.cuh"
#include "kmeans.cuh"
#include "pairs.cuh"
#include "scan.cuh"
#include "select.cuh"
#include "tile.cuh"
