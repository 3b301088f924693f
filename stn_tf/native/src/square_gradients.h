// The gradients of points that read squares.
//
// Included once for each instruction set, inside its namespace.

// Adds to the `sums` of the squares of a part, unless it is null, and writes its points' gradient.
template <class T>
void add_square_gradients(Job& job, const Part& part, typename Arithmetic<T>::type* sums) {
  using A = typename Arithmetic<T>::type;
  const Problem& problem = job.problem;
  const View<T, 2, 2> view(job, part.image);
  const T* upstream = static_cast<const T*>(job.upstream) + part.image * problem.output_pixels();
  Squares<A> squares;
  Corners<T> corners;
  A gradient[2][kTile];
  for_tiles_of<A, 2>(job, part, sums != nullptr, [&](Tile<A, 2>& tile, int64_t chunk, bool mine) {
    const T* up = upstream + tile.first;
    if (mine) {
      view.template read<true>(tile, squares);
      copy_corners(squares, view.input, problem.input[2], tile.n, corners);
      square_slopes(squares, corners, up, view.scale(0), view.scale(1), tile.n, gradient);
      put_points_gradient(job, view, part.image, chunk, tile, gradient);
    } else {
      view.template read<false>(tile, squares);
    }
    if (sums != nullptr) add_squares(squares, up, tile.n, part.low, part.count, sums);
  });
}

// A band of pixels from the squares that reach into it. False if memory runs out.
template <class T>
bool square_band(Job& job, Part part, T* to) {
  using A = typename Arithmetic<T>::type;
  const int64_t first = part.low, count = part.count, reach = job.problem.input[2] + 1;
  part.low = first > reach ? first - reach : 0;
  part.count = first + count - part.low;
  const size_t bytes = static_cast<size_t>(part.count * kCorners) * sizeof(A);
  Scratch scratch(bytes);
  if (scratch.data == nullptr) return false;
  A* sums = static_cast<A*>(scratch.data);
  std::memset(sums, 0, bytes);
  add_square_gradients<T>(job, part, sums);
  sum_corners(sums, part.low, job.problem.input[2], first, count, to);
  return true;
}
