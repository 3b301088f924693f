// One image of a job, tile by tile.
//
// Included once for each instruction set, inside its namespace.

// What stands ready for one image of a job.
template <class T, int R, int K>
struct View {
  using A = typename Arithmetic<T>::type;

  View(const Job& job, int64_t image)
      : problem(job.problem),
        base{static_cast<const A*>(job.base_x), static_cast<const A*>(job.base_y),
             problem.output[2]} {
    const int64_t outputs = problem.output_pixels();
    input = static_cast<const T*>(job.images) + image * problem.input_pixels() * problem.channels;
    const int64_t size = problem.theta_size() ? problem.theta_size() : outputs * R;
    points = static_cast<const A*>(job.points) + image * size;
    int64_t step = 1;
    for (int axis = 0; axis < R; ++axis) {
      axes[axis] = {problem.padding, problem.align_corners,
                    static_cast<int32_t>(problem.input[2 - axis])};
      stride[axis] = static_cast<int32_t>(step);
      step *= problem.input[2 - axis];
    }
  }

  // The taps of every axis, with slopes, and their combinations.
  void read(Tile<A, R>& tile, AxisTaps<A, K> (&taps)[R], Reads<A, power(K, R)>& reads) const {
    load_points(problem, base, points, tile);
    for (int axis = 0; axis < R; ++axis) {
      make_taps<A, K, true>(axes[axis], problem.source, tile.point[axis], taps[axis], tile.n);
    }
    combine<A, R, K>(taps, stride, tile.n, reads);
  }

  // The combinations alone.
  void read(Tile<A, R>& tile, Reads<A, power(K, R)>& reads) const {
    load_points(problem, base, points, tile);
    if constexpr (R == 2 && K == 2) {
      if (problem.padding != Padding::kReflection && axes[0].size < kNear &&
          axes[1].size < kNear) {
        const auto corners = problem.padding == Padding::kZeros ? read_corners<A, true>
                                                                : read_corners<A, false>;
        return corners(axes, problem.source, tile.point[0], tile.point[1], stride[1], tile.n,
                       reads);
      }
    }
    AxisTaps<A, K> taps[R];
    for (int axis = 0; axis < R; ++axis) {
      make_taps<A, K, false>(axes[axis], problem.source, tile.point[axis], taps[axis], tile.n);
    }
    combine<A, R, K>(taps, stride, tile.n, reads);
  }

  // Whether points read squares (squares.h).
  bool squares() const {
    return R == 2 && K == 2 && problem.channels == 1 && problem.padding != Padding::kReflection &&
           axes[0].size >= 2 && axes[1].size >= 2 && axes[0].size < kNear && axes[1].size < kNear;
  }

  bool square_gradients() const { return squares() && problem.input_pixels() <= kSquarePixels; }

  // The squares of a tile, for points that read such.
  template <bool kSlopes>
  void read(Tile<A, R>& tile, Squares<A>& squares) const {
    if (problem.theta_size() == 0) {
      return read<kSlopes>(GridPoints<A>{points + tile.first * R}, tile.n, squares);
    }
    load_points(problem, base, points, tile);
    read<kSlopes>(TilePoints<A>{tile.point[0], tile.point[1]}, tile.n, squares);
  }

  template <bool kSlopes, class From>
  void read(const From& from, int n, Squares<A>& squares) const {
    const auto find = problem.padding == Padding::kZeros ? find_squares<A, true, kSlopes, From>
                                                         : find_squares<A, false, kSlopes, From>;
    find(axes, problem.source, from, n, squares);
  }

  // Pixels per unit of a point's coordinate.
  A scale(int axis) const { return Pixels<A>(axes[axis], problem.source).scale; }

  const Problem& problem;
  Base<A> base;
  const T* input;
  const A* points;
  Axis axes[R];
  int32_t stride[R];
};

// Calls visit(first, n) for the tiles of output pixels [first, first + count).
template <class Visit>
inline void for_tiles(int64_t first, int64_t count, const Visit& visit) {
  for (int64_t at = 0; at < count; at += kTile) {
    visit(first + at, static_cast<int>(count - at < kTile ? count - at : kTile));
  }
}
