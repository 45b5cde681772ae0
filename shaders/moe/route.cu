// Routing of a mixture of experts: each row's best `top_k` experts, best first, and their weights.
//
// Scores are softmax or sigmoid of the logits; the bias takes part in choosing but not in the weights. Of equal keys the lower
// index comes first; NaN counts as the largest, so that it shows. An expert's place is the number of those that come before it, so
// nothing is sorted and no round depends on the one before.
//
// Shapes: logits are f32 columns of wider rows; experts and weights are rows of `top_k`. A block does one row; two words of dynamic shared
// memory for each expert. Costs: each thread looks at all experts for each of its own, all in shared memory.
// Checked by the conformance group `experts`.

#include "lib/functions.cuh"
#include "lib/keys.cuh"
#include "lib/reduce.cuh"

// As ops/route.rs has them.
struct Params {
    const float* logits;
    // Or null.
    const float* bias;
    u32* experts;
    float* weights;
    u32 selected;
    u32 count;
    u32 stride;
    u32 top_k;
    u32 sigmoid;
    u32 renormalize;
    float factor;
    u32 padding;
};

extern __shared__ float shared[];
__shared__ float places[2][32];

extern "C" __global__ void route(const __grid_constant__ Params p, const Step* step) {
    u32 row = blockIdx.x;
    float* scores = shared;
    u32* keys = (u32*)(shared + p.count);
    pdl_wait();
    pdl_trigger();
    if (row >= rows_of(step, p.selected, 1)) {
        return;
    }
    const float* logits = p.logits + (u64)row * p.stride;
    if (p.sigmoid != 0) {
        for (u32 e = threadIdx.x; e < p.count; e += blockDim.x) {
            scores[e] = sigmoid(logits[e]);
        }
    } else {
        u32 largest = 0;
        for (u32 e = threadIdx.x; e < p.count; e += blockDim.x) {
            largest = max(largest, key_of(logits[e]));
        }
        float top = logit_of(block_max(largest, (u32*)places[0]));
        float sum = 0.0f;
        for (u32 e = threadIdx.x; e < p.count; e += blockDim.x) {
            scores[e] = expf(logits[e] - top);
            sum += scores[e];
        }
        float total = block_sum(sum, places[1]);
        for (u32 e = threadIdx.x; e < p.count; e += blockDim.x) {
            scores[e] = scores[e] / total;
        }
    }
    for (u32 e = threadIdx.x; e < p.count; e += blockDim.x) {
        keys[e] = key_of(p.bias != nullptr ? scores[e] + p.bias[e] : scores[e]);
    }
    __syncthreads();
    float divisor = 1.0f;
    for (u32 e = threadIdx.x; e < p.count; e += blockDim.x) {
        u32 own = keys[e];
        u32 place = 0;
        for (u32 other = 0; other < p.count; other++) {
            u32 key = keys[other];
            place += key > own || (key == own && other < e);
        }
        if (place < p.top_k) {
            p.experts[(u64)row * p.top_k + place] = e;
            p.weights[(u64)row * p.top_k + place] = scores[e];
        }
    }
    // What this block wrote is read by others of it.
    __syncthreads();
    if (p.renormalize != 0) {
        divisor = 0.0f;
        for (u32 place = 0; place < p.top_k; place++) {
            divisor += p.weights[(u64)row * p.top_k + place];
        }
    }
    __syncthreads();
    for (u32 place = threadIdx.x; place < p.top_k; place += blockDim.x) {
        float* weight = p.weights + (u64)row * p.top_k + place;
        *weight = *weight / divisor * p.factor;
    }
}
