"""The columns of the tables that the compiled loop reads: plain numbers, since compiled code knows no records.

`program.py` fills the table of layers, `compiled.py` the plan, `epoch.py` reads both.
"""

from __future__ import annotations

# ---- a layer (a row of the table); places in theta, in the statistics and in work memory are offsets ----------------
(
    KIND,
    N_IN,
    N_OUT,
    ROWS,  # of [W; b]: n_in, and 1 more with a bias
    THETA,  # place of its parameters
    SIZE,  # number of its parameters
    A_IN,
    LD_IN,  # places a row of A_IN
    OUT,  # where the product goes: Z of a dense layer, A of others
    Z,  # what the slope is read from: f'(z), or A where that is enough; the mask of Dropout; X of the norms
    A,
    DELTA,  # dL/dz of a dense layer, dL/da of others
    LD,  # places a row of Z, A and DELTA
    ACTIVATE,  # address of a kernel; 0: identity
    SLOPE,  # address of the kernel that multiplies by f' on the way back
    PULL,  # address of a kernel, where f' is no element-wise factor
    FORWARD,  # of the layers without products
    BACK,
    SCALE,
    MEAN,
    STATS,
    PIECES,  # of the product forward, over units
    BACK_PIECES,  # of the product back, over inputs
    BLOCK,  # rows of [W; b] in a block of the update
    GRADS,  # place of the gradients of two parts of a batch, which the update adds; 0: it forms the gradient itself
    FIRST_BLOCK,  # number of the layer's first block among all
    WORDS,  # words of bits a row of A_IN: which of its numbers are not zero; 0: that is not asked
    LEAVES_OUT,  # whether its own products look at them; that of the layer below, on its way back, does
    MOST,  # of 100 numbers, so many may be other than zero where it pays to leave the others out: forward, gradient
    BACK_MOST,  # and back, by the bits of the layer above
    BITS,  # place of them
    COLUMN_BITS,  # place of those of its columns
    SECOND_PART,  # from there to those of the second part of the batch
    LAYER_COLUMNS,
) = range(34)

WORD = 64
"""Bits of a word."""
LINE = 64
"""Bytes of a line of the cache. Two threads that write to one line, each to its own numbers, wait for each other."""
NUMBERS_A_LINE = LINE // 8
SAMPLES = LINE // 4
"""Places; a batch has room for a multiple of it, so that samples that lie side by side fill lines of the cache."""
DENSE, DROPOUT, BATCH_NORM, LAYER_NORM = range(4)
"""Kinds of layers."""

# ---- the plan: whole numbers that stay the same during a call; *_AT are addresses of arrays -------------------------
(
    LAYERS,
    LAYERS_AT,  # (LAYERS, LAYER_COLUMNS)
    OPTIONS_AT,  # (LAYERS, 2) float64
    FACTS_AT,
    PLACE_AT,
    SYNC_AT,
    YIELD,
    NEXT_AT,  # of the plan that the same call runs after this one; 0: none
    ENDLESS,  # whether no epoch ends: gradients are only added up
    TEAM,
    P,  # length of theta
    THETA_AT,
    AVERAGE_AT,
    SLOTS_AT,  # (slots, P)
    STATE_AT,
    Q,  # length of state
    SNAPSHOTS_AT,  # (2, P)
    STATES_AT,  # (2, Q)
    MEMORY_AT,
    BITS_AT,
    SCRATCH_AT,
    LARGEST_BLOCK,
    BLOCKS,
    PARTIALS_AT,  # (2, BLOCKS) float64: the penalty and the squared gradient of each block
    RESULTS_AT,  # (epochs, 3) float64
    NUMBERS_AT,  # the rule's numbers for each step
    NUMBERS_STRIDE,
    BEFORE,  # batches that were run before this call
    CALLS,  # batches to run in this call
    M_ROWS,  # rows that an epoch visits
    ROWS_OF_DATA,
    BATCH_SIZE,
    ORDER_AT,  # (ROWS_OF_DATA,) int64, or as many for each epoch that was drawn ahead
    ORDER_ROWS,  # from the order of an epoch to the next; 0 where one serves all
    SAMPLE_WEIGHTS_AT,
    X_AT,
    X_ROW,
    X_COLUMN,
    Y_AT,
    Y_ROW,
    Y_COLUMN,
    SHUFFLE,
    NEXT_UINT32,
    NEXT_DOUBLE,
    ORDER_STATE,
    NOISE_STATE,
    GEMM,
    LARGE,  # bytes of weights beyond which BLAS is as fast as tiles
    TILES,
    FORWARD_PRODUCT,
    BACK_PRODUCT,
    GRADIENT_PRODUCT,
    MARKS,
    PICKS,
    BACK_PICKS,
    SPREADS,
    ONE_ROW,  # whether a batch is one row, and takes the way of one_row.py
    X_IN_PLACE,  # whether its row of X has the dtype of theta, number by number
    Y_IN_PLACE,
    ROW_FORWARD,
    ROW_BACK,
    ROW_ADD,
    TINY,  # products of at most so many multiplications are plain loops
    GATHER_X,
    GATHER_Y,
    OUTPUT,
    OUTPUT_KIND,
    SOFTMAX,
    MULTIPLY,
    STEP,
    PENALISE,
    SQUARES,
    FOLLOW,
    PARTS,  # parts of a batch that go through the network on their own
    SPARE,  # a place in memory for the outputs of a softmax
    TARGETS,
    WEIGHTS,
    ROW_WORK,
    WEIGHTED,
    DIRECT,  # plain descent: the product adds the step itself
    CLIP,
    AVERAGED,
    PLAN_LENGTH,
) = range(83)

ELEMENTWISE, TRANSPOSED, ROWWISE = range(3)
"""Kinds of outputs: any element-wise activation; softmax with its cross-entropy; softmax with another loss."""

# ---- where the loop stands; goes on from call to call ----------------------------------------------------------------
(
    BATCH,  # the next batch of the epoch
    EPOCHS,  # epochs finished in this call
    END,
    ALL_EPOCHS,  # epochs finished in all
    UPDATES,  # batches run in all
    LATEST,  # which of the two snapshots is the newer one
    SEEN,
    FROM,  # where in the orders that of this epoch begins
    PLACE_LENGTH,
) = range(9)

GOING_ON, BAD_LOSS, BLOWN_UP, BAD_THETA = range(4)
"""Why a call ended early."""

# ---- float64 numbers of the loop: a line that none writes to, one for the first thread, one for each part ------------
(
    L1,
    L2,
    CLIP_NORM,
    SMOOTHING,
    FACTOR,
    KEEP,
    BLOW_UP,
    TOTAL,
    FIRST_LOSS,
    LOSS,
    COST,  # of each part of a batch
    FACT_LENGTH,
) = (*range(7), *range(8, 11), 2 * NUMBERS_A_LINE, 4 * NUMBERS_A_LINE)
