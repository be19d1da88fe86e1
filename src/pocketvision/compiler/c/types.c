/* What the tables below are made of. Distances are in floats, counts in what they count. */
typedef struct pv_context pv_context;

typedef struct { /* an image: blocks of 16 channels, each a plane of rows of pixels */
  int64_t at;     /* where it begins, in the arena or in a thread's own part of it */
  int32_t local;  /* 1: in the thread's own part */
  int32_t plane;  /* from one block to the next */
  int32_t row;    /* from one row to the next */
  int32_t slots;  /* rows that are kept: all, or the last few of a band */
  int32_t left, right; /* columns of zeros beside each row */
  int32_t zeros;  /* 1: a row of zeros lies behind the last slot, for what is above and below */
  int32_t h, w, c;
  int32_t pixel;  /* floats a pixel: 16, or 1 where every channel has a plane of its own */
} pv_tensor;

typedef struct { int32_t row, at, count; } pv_segment; /* input numbers beside each other */

typedef struct { /* one call of a matrix kernel: tiles of pixels against a panel of weights */
  const float *const *rows;
  const pv_segment *segments;
  int32_t n_segments, tiles;
  const float *b;
  float *c;
  const float *res;
  int64_t c_plane, res_plane, x;
  float alpha, beta;
} pv_tile;
typedef void (*pv_gemm)(const pv_tile *);

typedef struct { /* one call of a depthwise kernel: n rows of a block */
  const float *const *rows, *const *res;
  float *const *out;
  const float *w;
  float *sum;
  int32_t n, tiles;
  float alpha, beta;
} pv_row;
typedef void (*pv_dw)(const pv_row *);

typedef struct { /* a panel: some output channels, with the kernels for a run of pixels */
  int64_t b;                  /* its weights */
  int32_t width, numbers;     /* output channels; input numbers */
  int32_t block, part;        /* first output block, and float in it */
  int32_t segment, n_segments;
  int32_t main_tiles, main_rows, last_tiles, last_rows;
  pv_gemm main, last;
} pv_panel;

typedef struct { /* a block of a depthwise convolution */
  int64_t w;
  pv_dw kernel;
  int32_t kernel_h, pad_top, x;
} pv_filter;

typedef struct pv_thread {
  pv_context *context;
  int32_t index;
  float *own;   /* the thread's part of the arena */
  float *panel; /* room for one panel */
} pv_thread;

typedef struct pv_stage pv_stage;
struct pv_stage {
  void (*rows)(const pv_thread *, const pv_stage *, int from, int to); /* rows of the output */
  void (*unit)(const pv_thread *, const pv_stage *, int unit);         /* a share of the whole */
  int32_t units;
  int32_t in, out, res, gate, sum; /* tensors; -1: none */
  int32_t kernel_h, stride_h, dilation_h, pad_top;
  int32_t x, step;                 /* first input number of a row; distance of two pixels */
  int32_t first, count;            /* panels or filters */
  int32_t whole;                   /* 1: all pixels are one run */
  int32_t chunks;                  /* shares of a run */
  int32_t tiles;                   /* depthwise: tiles of a row */
  int32_t more, n_more;            /* further numbers, in pv_numbers */
  float alpha, beta;
};

typedef struct { /* stages computed together in bands of rows, or one stage in units */
  int32_t first, count, band;
} pv_step;
