// What one unit of work has of an image's gradients.
//
// Included once for each instruction set, inside its namespace.

// Notes that memory ran out, on whichever thread.
inline void run_out(Job& job) { __atomic_store_n(&job.out_of_memory, true, __ATOMIC_RELAXED); }

// The part of an image's gradients that one unit of work has: the sums of the pixels [low,
// low + count), and the gradient of the points of every `turns`-th chunk, beginning with `turn`.
struct Part {
  int64_t image;
  int64_t begin, end;  // Of the chunks to go through.
  int64_t turn, turns;
  int64_t low, count;
};

// Calls visit(tile, chunk, mine) for the tiles of a part; `mine` is whether their points' gradient
// belongs to it. Without `sums` other tiles are left out.
template <class A, int R, class Visit>
void for_tiles_of(const Job& job, const Part& part, bool sums, const Visit& visit) {
  const int64_t outputs = job.problem.output_pixels();
  const bool want_points = job.points_gradient != nullptr || job.theta_sums != nullptr;
  Tile<A, R> tile;
  for (int64_t chunk = part.begin; chunk < part.end; ++chunk) {
    const bool mine = want_points && chunk % part.turns == part.turn;
    if (!mine && !sums) continue;
    const int64_t first = chunk * job.chunk, left = outputs - first;
    for_tiles(first, left < job.chunk ? left : job.chunk, [&](int64_t at, int n) {
      tile.first = at;
      tile.n = n;
      visit(tile, chunk, mine);
    });
  }
}

// Writes the gradient of a tile's points, or adds it to that of theta.
template <class T, int R, int K>
void put_points_gradient(Job& job, const View<T, R, K>& view, int64_t image, int64_t chunk,
                         const Tile<typename Arithmetic<T>::type, R>& tile,
                         const typename Arithmetic<T>::type (*gradient)[kTile]) {
  using A = typename Arithmetic<T>::type;
  if (job.theta_sums != nullptr) {
    const int size = job.problem.theta_size();
    add_theta_gradient(job.problem.source, view.points, tile, gradient,
                       job.theta_sums + (image * job.chunks + chunk) * size);
    return;
  }
  A* to = static_cast<A*>(job.points_gradient) +
          (image * job.problem.output_pixels() + tile.first) * R;
  for (int i = 0; i < tile.n; ++i) {
    for (int axis = 0; axis < R; ++axis) to[i * R + axis] = gradient[axis][i];
  }
}
